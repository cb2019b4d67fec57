"""TextToVisualRegressor: the vector of a sentence becomes the descriptor that it describes."""

from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    MultiOutputMixin,
    RegressorMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from txt2img.mapping.closed_form import fit_ridge
from txt2img.mapping.network import fit_network, predict_network


class TextToVisualRegressor(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, MultiOutputMixin, RegressorMixin, BaseEstimator
):
    """Predict the visual descriptor that a sentence describes from the vector of the sentence.

    Parameters
    ----------
    solver : {"ridge", "network"}, default="ridge"
        - ``"ridge"``: linear map with a squared penalty, in closed form by one Cholesky factorisation.
          It takes seconds and has one parameter, `alpha`.
        - ``"network"``: one hidden layer, trained by stochastic gradients on the mean squared error;
          `hidden` and the parameters after it are its own.
    alpha : float, default=10.0
        Strength of ridge's penalty. Vectors of length 1, as all vectorizers here give them, make it
        comparable between data sets.
    hidden : int, default=2048
        Width of the network's hidden layer.
    epochs : int, default=10
        How often the network sees every caption.
    batch_size : int, default=128
        Captions in one step of the network.
    learning_rate : float, default=1e-3
        Step of the network's optimiser (Adam).
    weight_decay : float, default=0.0
        Share of the weights, in units of `learning_rate`, taken away at each step.
    random_state : int, RandomState instance or None, default=None
        Draws the network's first weights and the order of the captions.
    verbose : int, default=0
        If positive, the network's progress is printed to standard error.

    Attributes
    ----------
    coefs_ : list of ndarray
        Weights of each layer, of shape (inputs, outputs); one layer for ridge, two for the network.
    intercepts_ : list of ndarray
        Intercept of each layer, of shape (outputs,).
    losses_ : list of float
        Mean squared error over each epoch; empty for ridge.
    single_output_ : bool
        Whether the `y` that was fitted had one dimension.
    n_features_in_ : int
        Width of the text vectors.

    References
    ----------
    Frome et al., "DeViSE: A Deep Visual-Semantic Embedding Model", NIPS 2013, predicts between the two
    spaces in the other direction; Dong et al., "Predicting Visual Features from Text for Image and Video
    Caption Retrieval", IEEE Transactions on Multimedia 20, 2018, in this one.

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

    _parameter_constraints: dict = {
        "solver": [StrOptions({"ridge", "network"})],
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "hidden": [Interval(Integral, 1, None, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        solver="ridge",
        *,
        alpha=10.0,
        hidden=2048,
        epochs=10,
        batch_size=128,
        learning_rate=1e-3,
        weight_decay=0.0,
        random_state=None,
        verbose=0,
    ):
        self.solver = solver
        self.alpha = alpha
        self.hidden = hidden
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Learn the map from text vectors to descriptors.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_captions, n_features)
            Vector of each caption.
        y : array-like of shape (n_captions, n_outputs) or (n_captions,)
            Descriptor of the photograph of each caption.

        Returns
        -------
        self : TextToVisualRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If X and y differ in length, or hold NaN or infinities.
        """
        X, y = validate_data(
            self, X, y, accept_sparse="csr", dtype=[np.float64, np.float32], multi_output=True, y_numeric=True
        )
        X = sp.csr_matrix(X) if sp.issparse(X) else X
        targets = y.astype(X.dtype, copy=False).reshape(len(y), -1)
        if self.solver == "ridge":
            weights, intercept = fit_ridge(X, targets, self.alpha)
            self.coefs_, self.intercepts_, self.losses_ = [weights], [intercept], []
        else:
            self.coefs_, self.intercepts_, self.losses_ = fit_network(
                X,
                targets,
                hidden=self.hidden,
                epochs=self.epochs,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                random_state=check_random_state(self.random_state),
                verbose=self.verbose,
            )
        self.single_output_ = y.ndim == 1
        return self

    def predict(self, X):
        """Predict the descriptors that sentences describe.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_captions, n_features)
            Vector of each sentence.

        Returns
        -------
        ndarray of shape (n_captions, n_outputs) or (n_captions,), dtype as X
            Predicted descriptors, with as many dimensions as the `y` that was fitted.
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
        predicted = predict_network(X, self.coefs_, self.intercepts_).astype(X.dtype, copy=False)
        return predicted.ravel() if self.single_output_ else predicted

    def transform(self, X):
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

    @property
    def _n_features_out(self):
        return len(self.intercepts_[-1])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.single_output = True
        tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
