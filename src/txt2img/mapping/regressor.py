"""TextToVisualRegressor: the vector of a sentence becomes the descriptor that it describes."""

from collections.abc import Hashable, Iterable, Sequence
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    MultiOutputMixin,
    RegressorMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.metrics import r2_score
from sklearn.preprocessing import normalize
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from txt2img._callbacks import CallbackSupportMixin, what_is_told
from txt2img._doc_link import DocLinkMixin
from txt2img._types import Array, Matrix, Seed
from txt2img.mapping.closed_form import NormalEquations, check_alphas, fit_ridge, fit_ridge_path
from txt2img.mapping.inputs import Examples, checked_examples, needs_no_conversion
from txt2img.mapping.losses import LOSSES
from txt2img.mapping.network import EarlyStopping, Network, Weights, predict_network
from txt2img.mapping.visual_map import VisualMap

AUTO_ALPHAS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class TextToVisualRegressor(
    CallbackSupportMixin,
    DocLinkMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    MultiOutputMixin,
    RegressorMixin,
    BaseEstimator,
):
    """Predict the visual descriptor that a sentence describes from the vector of the sentence.

    Parameters
    ----------
    solver : {"ridge", "network"}, default="ridge"
        - ``"ridge"``: linear map with a squared penalty, in closed form by one Cholesky factorisation.
          It takes seconds and has one parameter, `alpha`.
        - ``"network"``: one or two layers, trained by stochastic gradients on a `loss`; the parameters
          from `loss` on are its own.
    alpha : float, array-like of float, or "auto", default=10.0
        Strength of ridge's penalty. Vectors of length 1, as all vectorizers here give them, make it
        comparable between data sets. Of several the one is chosen that errs least on photographs left
        out one by one; "auto" chooses among 0.1, 0.3, 1, ... 100.
    loss : {"mse", "cosine", "infonce", "hinge"}, default="mse"
        What the network minimises: the mean squared error; one minus the cosine; the cross-entropy of
        finding the right photograph among those of the batch and the right caption among its captions;
        or by how much wrong pairs of the batch come nearer than `margin` to the right one. The last two
        learn a linear map of the descriptors too, `visual_map_`, and predictions lie in the space that
        it leads to; captions of the same photograph never count as wrong.
    hidden : int or None, default=2048
        Width of the network's hidden layer; None for a linear network.
    init : {"random", "ridge"}, default="random"
        Where a linear network begins: at random, or at ridge regression with strength `alpha`, which is
        better with few captions. The scale of the weights is that of a new network either way.
    n_components : int, default=512
        Width of the space of the losses "infonce" and "hinge"; with ``init="ridge"`` at most that of the
        descriptors.
    dropout : float, default=0.0
        Share of the numbers in the text vectors left out at random at each step, so that the network
        does not rely on single words.
    temperature : float, default=0.1
        By which "infonce" divides the cosines.
    margin : float, default=0.2
        Of the loss "hinge", in units of the cosine.
    epochs : int, default=10
        How often the network sees every caption.
    batch_size : int, default=128
        Captions in one step of the network.
    learning_rate : float, default=1e-3
        Step of the network's optimiser (Adam).
    schedule : {"constant", "one_cycle"}, default="constant"
        Whether the learning rate stays, or rises for a tenth of the steps and then falls to nothing.
    weight_decay : float, default=0.0
        Share of the weights, in units of the learning rate, taken away at each step.
    early_stopping : bool, default=False
        Whether to set photographs aside, end when the loss on them no longer falls, and keep the
        weights with which it was least.
    validation_fraction : float, default=0.1
        Share of the photographs set aside, with all their captions.
    n_iter_no_change : int, default=2
        Epochs without a lower loss on them after which training ends.
    random_state : int, RandomState instance or None, default=None
        Draws the network's first weights, the order of the captions, what is left out and set aside.
    verbose : int, default=0
        If positive, the network's progress is printed to standard error.

    Attributes
    ----------
    coefs_ : list of ndarray
        Weights of each layer, of shape (inputs, outputs); one layer for ridge.
    intercepts_ : list of ndarray
        Intercept of each layer, of shape (outputs,).
    visual_map_ : VisualMap or None
        Brings descriptors into the space of the predictions; None if that is their own.
    alpha_ : float or None
        Ridge's penalty, given or chosen; None for the network.
    alpha_scores_ : ndarray of shape (n_alphas,) or None
        Estimated mean squared error on left-out photographs for each of several alphas.
    losses_ : list of float
        Mean loss over each epoch; empty for ridge.
    validation_losses_ : list of float
        Mean loss on the photographs set aside after each epoch; empty without early stopping.
    single_output_ : bool
        Whether the `y` that was fitted had one dimension.
    n_features_in_ : int
        Width of the text vectors.

    See Also
    --------
    MapEnsemble : Several maps whose scores are averaged.

    References
    ----------
    Frome et al., "DeViSE: A Deep Visual-Semantic Embedding Model", NIPS 2013, predicts between the two
    spaces in the other direction; Dong et al., "Predicting Visual Features from Text for Image and Video
    Caption Retrieval", IEEE Transactions on Multimedia 20, 2018, in this one.

    Allen, "The Relationship between Variable Selection and Data Augmentation and a Method for Prediction",
    Technometrics 16, 1974, for errors on what is left out without fitting anew.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from txt2img import CaptionVectorizer, TextToVisualRegressor
    >>> captions = ["a red ball", "the ball is red", "a green tree", "tree with green leaves"]
    >>> descriptors = [[1, 0], [1, 0], [0, 1], [0, 1]]
    >>> text = make_pipeline(CaptionVectorizer(min_df=1), TextToVisualRegressor(alpha=0.1))
    >>> text.fit(captions, descriptors).predict(["green leaves"]).argmax()
    np.int64(1)
    """

    coefs_: list[Array]
    intercepts_: list[Array]
    alpha_: float | None
    alpha_scores_: Array | None
    visual_map_: VisualMap | None
    losses_: list[float]
    validation_losses_: list[float]

    _parameter_constraints: dict[str, Any] = {
        "solver": [StrOptions({"ridge", "network"})],
        "alpha": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"}), "array-like"],
        "loss": [StrOptions(set(LOSSES))],
        "hidden": [Interval(Integral, 1, None, closed="left"), None],
        "init": [StrOptions({"random", "ridge"})],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "margin": [Interval(Real, 0, None, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "schedule": [StrOptions({"constant", "one_cycle"})],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        solver: Literal["ridge", "network"] = "ridge",
        *,
        alpha: float | Literal["auto"] | Sequence[float] | Array = 10.0,
        loss: Literal["mse", "cosine", "infonce", "hinge"] = "mse",
        hidden: int | None = 2048,
        init: Literal["random", "ridge"] = "random",
        n_components: int = 512,
        dropout: float = 0.0,
        temperature: float = 0.1,
        margin: float = 0.2,
        epochs: int = 10,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        schedule: Literal["constant", "one_cycle"] = "constant",
        weight_decay: float = 0.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 2,
        random_state: Seed = None,
        verbose: int = 0,
    ) -> None:
        self.solver = solver
        self.alpha = alpha
        self.loss = loss
        self.hidden = hidden
        self.init = init
        self.n_components = n_components
        self.dropout = dropout
        self.temperature = temperature
        self.margin = margin
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Matrix | ArrayLike,
        y: ArrayLike,
        groups: Iterable[Hashable] | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn the map from text vectors to descriptors.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_captions, n_features)
            Vector of each caption.
        y : array-like of shape (n_captions, n_outputs) or (n_captions,)
            Descriptor of the photograph of each caption.
        groups : array-like of shape (n_captions,), default=None
            Photograph of each caption. By default captions with the same descriptor have the same one.
        sample_weight : array-like of shape (n_captions,), default=None
            How much each caption counts, 0 or more; by default all count the same. To ridge, and to a network
            whose batch holds all captions, one of weight 2 is the same as two of weight 1; to a network with
            smaller batches it is so on average.

        Returns
        -------
        self : TextToVisualRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If X and y differ in length, or hold NaN or infinities, an alpha is not positive, a weight is
            negative or all are zero, there is but one photograph and some are to be left out, or a network
            that begins at ridge regression has a hidden layer or several alphas.
        """
        task = self._init_callback_context(max_subtasks=self.epochs if self.solver == "network" else 0)
        told = what_is_told(self, X, y, sample_weight)
        task.call_on_fit_task_begin(**told)
        self._initial_alpha()
        examples = checked_examples(self, X, y, groups, sample_weight, reset=True)
        self._forget(y)
        if self.solver == "ridge":
            self._fit_ridge(examples)
        else:
            self._fit_network(examples, task, told)
        task.call_on_fit_task_end(**told, reconstruction_attributes={})
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Matrix | ArrayLike,
        y: ArrayLike,
        groups: Iterable[Hashable] | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn from further captions, which need not fit in memory all at once.

        Ridge gives what `fit` would give on all captions since the first call; a call after `fit`, or of a
        regressor that was saved or copied, is a first one, as those keep no captions. The network goes on
        from the weights it has, once over the captions, at a constant learning rate.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_captions, n_features)
            Vector of each caption.
        y : array-like of shape (n_captions, n_outputs) or (n_captions,)
            Descriptor of the photograph of each caption.
        groups : array-like of shape (n_captions,), default=None
            Photograph of each caption, as in `fit`. Give all captions of a photograph in one call.
        sample_weight : array-like of shape (n_captions,), default=None
            How much each caption counts, as in `fit`; to the network, among those of the same call.

        Returns
        -------
        self : TextToVisualRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            As in `fit`; or if there are several alphas, as the captions seen before are gone.
        """
        alpha, anew = None, not hasattr(self, "coefs_")
        if self.solver == "ridge":
            if not isinstance(self.alpha, Real):
                raise ValueError(
                    f"alpha={self.alpha!r} cannot be chosen by partial_fit, which does not keep captions: "
                    "pass one number, such as alpha_ of a fit on some of them"
                )
            alpha, anew = float(self.alpha), not isinstance(self._learner, NormalEquations)
        self._initial_alpha()
        examples = checked_examples(self, X, y, groups, sample_weight, reset=anew)
        if anew:
            self._forget(y)
        if alpha is None:
            self._partial_fit_network(examples, anew)
        else:
            self._partial_fit_ridge(examples, alpha)
        return self

    def _initial_alpha(self) -> float | None:
        """Give the strength of the ridge regression that a network begins at, if it begins at one."""
        if self.solver == "ridge" or self.init == "random":
            return None
        if self.hidden is not None:
            raise ValueError(
                f"init='ridge' is for a linear network, not hidden={self.hidden}: pass hidden=None"
            )
        if not isinstance(self.alpha, Real):
            raise ValueError(f"init='ridge' takes one strength, not alpha={self.alpha!r}: pass a number")
        return float(self.alpha)

    # What goes on learning in partial_fit.
    _learner: NormalEquations | Network | None = None

    def _forget(self, y: ArrayLike) -> None:
        self._learner = None
        self.single_output_ = np.asarray(y).ndim == 1
        self.visual_map_ = self.alpha_ = self.alpha_scores_ = None
        self.losses_, self.validation_losses_ = [], []

    def _fit_ridge(self, examples: Examples) -> None:
        X, Y, photograph, weight = examples
        if isinstance(self.alpha, Real):
            self.alpha_ = float(self.alpha)
            weights, intercept = fit_ridge(X, Y, self.alpha_, weight)
        else:
            alphas = AUTO_ALPHAS if isinstance(self.alpha, str) else check_alphas(self.alpha)
            weights, intercept, self.alpha_, self.alpha_scores_ = fit_ridge_path(
                X, Y, alphas, photograph, self.random_state, weight
            )
        self.coefs_, self.intercepts_ = [weights], [intercept]

    def _partial_fit_ridge(self, examples: Examples, alpha: float) -> None:
        equations = self._learner if isinstance(self._learner, NormalEquations) else NormalEquations()
        self._learner = equations.update(examples.X, examples.Y, examples.weight)
        weights, intercept = equations.solve(alpha)
        self.coefs_, self.intercepts_, self.alpha_ = [weights], [intercept], alpha

    def _fit_network(self, examples: Examples, task: Any, told: dict[str, Any]) -> None:
        random_state = check_random_state(self.random_state)
        stopper = None
        if self.early_stopping:
            examples, aside = examples.set_aside(self.validation_fraction, random_state)
            stopper = EarlyStopping(*aside, batch_size=self.batch_size, patience=self.n_iter_no_change)
        network = self._new_network(examples, random_state)
        training = network.train(
            *examples,
            epochs=self.epochs,
            batch_size=self.batch_size,
            schedule=self.schedule,
            verbose=self.verbose,
        )
        for _ in range(self.epochs):
            epoch = task.subcontext(task_name="epoch").call_on_fit_task_begin(**told)
            self.losses_.append(next(training))
            no_better = stopper is not None and stopper(network)
            stopped = epoch.call_on_fit_task_end(
                **told, reconstruction_attributes=lambda: _network_attributes(network.weights())
            )
            if stopped or no_better:
                break
        self.validation_losses_ = stopper.losses if stopper else []
        best = stopper.best_weights if stopper else None
        self._take(best or network.weights())

    def _partial_fit_network(self, examples: Examples, anew: bool) -> None:
        network = self._learner
        if not isinstance(network, Network):
            network = self._new_network(examples, check_random_state(self.random_state))
            if not anew:
                visual = None if self.visual_map_ is None else self.visual_map_.matrices[0]
                network.set_weights(self.coefs_, self.intercepts_, visual)
            self._learner = network
        self.losses_ += network.train(*examples, epochs=1, batch_size=self.batch_size, verbose=self.verbose)
        self._take(network.weights())

    def _new_network(self, examples: Examples, random_state: np.random.RandomState) -> Network:
        X, Y, _, weight = examples
        alpha = self._initial_alpha()
        network = Network(
            X.shape[1],
            Y.shape[1],
            loss=self.loss,
            hidden=self.hidden,
            n_components=self.n_components if alpha is None else min(self.n_components, Y.shape[1]),
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            dropout=self.dropout,
            temperature=self.temperature,
            margin=self.margin,
            random_state=random_state,
        )
        if alpha is not None:
            network.start_from(*fit_ridge(X, Y, alpha, weight))
        return network

    def _take(self, weights: Weights) -> None:
        for name, value in _network_attributes(weights).items():
            setattr(self, name, value)

    def predict(self, X: Matrix | ArrayLike) -> Array:
        """Predict the descriptors that sentences describe.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_captions, n_features)
            Vector of each sentence.

        Returns
        -------
        ndarray of shape (n_captions, n_outputs) or (n_captions,), dtype as X
            Predicted descriptors, with as many dimensions as the `y` that was fitted; in the space of
            `visual_map_` if there is one.
        """
        if not hasattr(self, "coefs_"):
            check_is_fitted(self)
        if hasattr(self, "feature_names_in_") or not needs_no_conversion(X, self.n_features_in_):
            X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
        predicted = predict_network(X, self.coefs_, self.intercepts_).astype(X.dtype, copy=False)
        return predicted.ravel() if self.single_output_ else predicted

    def transform(self, X: Matrix | ArrayLike) -> Array:
        """Predict, as a step in the middle of a pipeline.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_captions, n_features)
            Vector of each sentence.

        Returns
        -------
        ndarray of shape (n_captions, n_outputs), dtype as X
            Predicted descriptors.
        """
        predicted = self.predict(X)
        return predicted.reshape(len(predicted), -1)

    def score(self, X: Matrix | ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Coefficient of determination of the predictions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_captions, n_features)
            Vector of each caption.
        y : array-like of shape (n_captions, n_outputs) or (n_captions,)
            Descriptor of the photograph of each caption.
        sample_weight : array-like of shape (n_captions,), default=None
            Weight of each caption.

        Returns
        -------
        float
            R², the mean over the outputs; with a `visual_map_` of vectors of length 1 in its space.
        """
        check_is_fitted(self)
        if self.visual_map_ is None:
            return super().score(X, y, sample_weight)
        return r2_score(
            self.visual_map_.transform(y), normalize(self.predict(X)), sample_weight=sample_weight
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what only goes on learning, which is large and holds torch tensors."""
        state = super().__getstate__()
        return state | {"_learner": None} if "_learner" in state else state

    @property
    def _n_features_out(self) -> int:
        return len(self.intercepts_[-1])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.single_output = True
        tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _network_attributes(weights: Weights) -> dict[str, Any]:
    coefs, intercepts, visual = weights
    visual_map = None if visual is None else VisualMap([visual]).fit(np.zeros((1, len(visual))))
    return {"coefs_": coefs, "intercepts_": intercepts, "visual_map_": visual_map}
