"""MapEnsemble: several maps from sentences to descriptors, whose scores are averaged."""

from collections.abc import Hashable, Iterable
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context, clone
from sklearn.metrics import r2_score
from sklearn.preprocessing import normalize
from sklearn.utils import Tags, check_random_state
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import check_is_fitted, has_fit_parameter, validate_data

from txt2img._callbacks import CallbackSupportMixin, what_is_told
from txt2img._doc_link import DocLinkMixin
from txt2img._types import Array, Matrix, Seed
from txt2img.mapping.visual_map import VisualMap, side_by_side
from txt2img.mapping.weights import check_weights

# Captions and photographs from which the spread of the cosines is estimated.
CALIBRATION_SAMPLE = 1000


class MapEnsemble(
    CallbackSupportMixin, DocLinkMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, _BaseComposition
):
    """Average the scores of several maps from sentences to descriptors.

    Each map scores a photograph by the cosine between prediction and descriptor in a space of its own.
    These spaces are put side by side, each at the length that makes one cosine in all of them the
    weighted mean of the cosines, so that an index searches them at once, by one inner product.

    Cosines of one map may spread wider than those of another. Before they are averaged they are
    calibrated: divided by their standard deviation over pairs of training captions and photographs.

    To scikit-learn it is a transformer that learns from targets, and no regressor: what it predicts is not in
    the space of the targets.

    Parameters
    ----------
    estimators : list of (str, estimator)
        The maps by name, such as `TextToVisualRegressor`.
    weights : array-like of float of shape (n_estimators,), default=None
        Share of each map's calibrated score; by default the same for all.
    random_state : int, RandomState instance or None, default=None
        Draws the captions and photographs for the calibration. The maps have random states of their own.

    Attributes
    ----------
    estimators_ : list of estimators
        The fitted maps.
    lengths_ : ndarray of shape (n_estimators,)
        Length of the predictions of each map.
    visual_map_ : VisualMap
        Brings descriptors into the spaces of the maps, side by side.
    n_components_ : int
        Width of the predictions.
    n_features_in_ : int
        Width of the text vectors.

    Examples
    --------
    >>> from txt2img import TextToVisualRegressor
    >>> from txt2img.datasets import make_captioned_descriptors
    >>> from txt2img.mapping import MapEnsemble
    >>> X, y = [[1, 0], [0, 1], [1, 1]], [[2, 0, 1], [0, 3, 1], [1, 1, 1]]
    >>> both = MapEnsemble([("weak", TextToVisualRegressor()), ("strong", TextToVisualRegressor(alpha=100))])
    >>> both.fit(X, y).predict(X).shape, both.visual_map_.transform(y).shape
    ((3, 6), (3, 6))
    """

    _parameter_constraints: dict[str, Any] = {
        "estimators": [list],
        "weights": ["array-like", None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimators: list[tuple[str, Any]],
        *,
        weights: ArrayLike | None = None,
        random_state: Seed = None,
    ) -> None:
        self.estimators = estimators
        self.weights = weights
        self.random_state = random_state

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters, those of the maps under ``name__parameter``.

        Parameters
        ----------
        deep : bool, default=True
            Whether to give those of the maps too.

        Returns
        -------
        dict of str to object
            Values by name.
        """
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params: Any) -> Self:
        """Set parameters, those of the maps under ``name__parameter``.

        Parameters
        ----------
        **params : object
            Values by name.

        Returns
        -------
        self : MapEnsemble
            The ensemble.
        """
        self._set_params("estimators", **params)
        return self

    # The maps are validated by their own fit.
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Matrix | ArrayLike,
        y: ArrayLike,
        groups: Iterable[Hashable] | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Fit all maps, and calibrate them against one another.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_captions, n_features)
            Vector of each caption.
        y : array-like of shape (n_captions, n_outputs) or (n_captions,)
            Descriptor of the photograph of each caption.
        groups : array-like of shape (n_captions,), default=None
            Photograph of each caption, passed on to the maps that take it.
        sample_weight : array-like of shape (n_captions,), default=None
            How much each caption counts, to all maps and their calibration; by default all the same.

        Returns
        -------
        self : MapEnsemble
            The fitted ensemble.

        Raises
        ------
        ValueError
            If there are no maps, two have the same name, weights are not positive or of another number, or
            captions have weights and a map takes none.
        """
        if not self.estimators:
            raise ValueError("estimators is empty: pass at least one (name, estimator)")
        names = [name for name, _ in self.estimators]
        self._validate_names(names)
        weights = self._checked_weights()
        told = what_is_told(self, X, y, sample_weight)
        task = self._init_callback_context(max_subtasks=len(names)).call_on_fit_task_begin(**told)
        X, targets = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            multi_output=True,
            y_numeric=True,
        )
        targets = targets.reshape(len(targets), -1)
        routed = (
            {} if sample_weight is None else {"sample_weight": check_weights(sample_weight, len(targets))}
        )
        for name, estimator in self.estimators:
            if routed and not has_fit_parameter(estimator, "sample_weight"):
                raise ValueError(f"the map {name!r} takes no sample_weight: leave out the weights or the map")
        fitted = []
        for name, estimator in self.estimators:
            own = routed | ({"groups": groups} if has_fit_parameter(estimator, "groups") else {})
            estimator = clone(estimator)
            subtask = task.subcontext(task_name=f"fit-{name}")
            with subtask.propagate_callback_context(estimator):
                subtask.call_on_fit_task_begin(**told)
                fitted.append(estimator.fit(X, targets, **own))
                subtask.call_on_fit_task_end(**told)
        self.estimators_ = fitted
        self.lengths_ = np.sqrt(weights / self._spreads(X, targets, **routed))
        visual_maps = [getattr(each, "visual_map_", None) or VisualMap([None]) for each in fitted]
        matrices: list[Array | None] = []
        lengths: list[float] = []
        for visual, length in zip(visual_maps, self.lengths_):
            inner = np.ones(len(visual.matrices)) if visual.lengths is None else np.array(visual.lengths)
            matrices += visual.matrices
            lengths += (length * inner / np.linalg.norm(inner)).tolist()
        self.visual_map_ = VisualMap(matrices, lengths).fit(targets[:1])
        self.n_components_ = self.predict(X[:1]).shape[1]
        task.call_on_fit_task_end(**told, reconstruction_attributes={})
        return self

    def predict(self, X: Matrix | ArrayLike) -> Array:
        """Predict the descriptors that sentences describe, in the spaces of all maps side by side.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_captions, n_features)
            Vector of each sentence.

        Returns
        -------
        ndarray of shape (n_captions, n_components of all maps)
            Predictions, comparable by cosine with ``visual_map_.transform(descriptors)``.
        """
        if not hasattr(self, "estimators_"):
            check_is_fitted(self)
        if type(X) not in (np.ndarray, sp.csr_matrix) or hasattr(self, "feature_names_in_"):
            X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
        return side_by_side([estimator.predict(X) for estimator in self.estimators_], self.lengths_)

    def transform(self, X: Matrix | ArrayLike) -> Array:
        """Predict, as a step in the middle of a pipeline.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_captions, n_features)
            Vector of each sentence.

        Returns
        -------
        ndarray of shape (n_captions, n_components of all maps)
            Predictions.
        """
        return self.predict(X)

    def score(self, X: Matrix | ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Coefficient of determination of the predictions in the spaces of the maps.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_captions, n_features)
            Vector of each caption.
        y : array-like of shape (n_captions, n_outputs)
            Descriptor of the photograph of each caption.
        sample_weight : array-like of shape (n_captions,), default=None
            Weight of each caption.

        Returns
        -------
        float
            R², the mean over the components.
        """
        predicted = self.predict(X)
        targets = self.visual_map_.transform(np.reshape(y, (len(predicted), -1)))
        return r2_score(targets, predicted, sample_weight=sample_weight)

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def _checked_weights(self) -> Array:
        if self.weights is None:
            return np.ones(len(self.estimators))
        weights = np.asarray(self.weights, np.float64)
        if weights.shape != (len(self.estimators),) or not (np.isfinite(weights) & (weights > 0)).all():
            raise ValueError(
                f"weights={self.weights!r} must be {len(self.estimators)} positive numbers, one a map"
            )
        return weights

    def _spreads(self, X: Matrix, y: Array, sample_weight: Array | None = None) -> Array:
        """Compute the standard deviation of the cosines of each map, over captions and photographs."""
        random_state = check_random_state(self.random_state)
        rows, others = (random_state.permutation(len(y))[:CALIBRATION_SAMPLE] for _ in range(2))
        pairs = None if sample_weight is None else np.outer(sample_weight[rows], sample_weight[others])
        spreads = []
        for estimator in self.estimators_:
            visual = getattr(estimator, "visual_map_", None)
            seen = y[others] if visual is None else visual.transform(y[others])
            cosines = normalize(estimator.predict(X[rows])) @ normalize(seen).T
            mean = np.average(cosines, weights=pairs)
            spreads.append(np.sqrt(np.average((cosines - mean) ** 2, weights=pairs)))
        positive = np.array(spreads, np.float64)
        return np.where(positive > 0, positive, 1)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        tags.target_tags.single_output = False
        tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
