"""VisualMap: descriptors of photographs in the space in which a learned map compares them with sentences."""

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import _check_n_features, check_array

from txt2img._callbacks import CallbackSupportMixin, one_task
from txt2img._doc_link import DocLinkMixin
from txt2img._types import Array
from txt2img._vectors import unit_rows


class VisualMap(
    CallbackSupportMixin, DocLinkMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Map descriptors linearly into one or several spaces, side by side.

    It is the visual half of a map that was learned on both sides: `TextToVisualRegressor` and
    `MapEnsemble` offer it, fitted, as `visual_map_`. It learns nothing itself and stands behind the
    whitener in a Pipeline:
    ``make_pipeline(ImageFeaturizer(), whitener, text_pipeline[-1].visual_map_)``.

    Parameters
    ----------
    matrices : sequence of ndarray of shape (n_features, n_components), or None entries
        One linear map a space; None leaves the descriptors as they are.
    lengths : sequence of float, default=None
        Length to which the rows of each part are brought, so that a cosine of what comes out is a mean
        of the cosines in each space, weighted by the squares. By default 1 each.

    Attributes
    ----------
    n_features_in_ : int
        Width of the descriptors, once `fit` has seen some.

    Examples
    --------
    >>> import numpy as np
    >>> from txt2img.mapping import VisualMap
    >>> VisualMap([np.array([[0.0], [2.0]]), None]).transform([[3.0, 4.0]])
    array([[1. , 0.6, 0.8]])
    """

    _parameter_constraints: dict[str, Any] = {"matrices": [list, tuple], "lengths": ["array-like", None]}

    def __init__(self, matrices: Sequence[Array | None], lengths: Sequence[float] | None = None) -> None:
        self.matrices = matrices
        self.lengths = lengths

    @one_task
    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Check that the matrices fit the descriptors.

        Parameters
        ----------
        X : array-like of shape (n_photos, n_features)
            Descriptors.
        y : None
            Ignored.

        Returns
        -------
        self : VisualMap
            As it was.
        """
        _check_n_features(self, self._check(X), reset=True)
        return self

    def transform(self, X: ArrayLike) -> Array:
        """Map descriptors.

        Parameters
        ----------
        X : array-like of shape (n_photos, n_features)
            Descriptors.

        Returns
        -------
        ndarray of shape (n_photos, n_components of all matrices), dtype as X
            Mapped descriptors; parts of no length stay so.

        Raises
        ------
        ValueError
            If the descriptors are of another width than the matrices, or the parameters are not valid.
        """
        X = self._check(X)
        _check_n_features(self, X, reset=False)
        return side_by_side(
            [X if matrix is None else X @ matrix.astype(X.dtype) for matrix in self.matrices],
            [1.0] * len(self.matrices) if self.lengths is None else self.lengths,
        )

    def _check(self, X: ArrayLike) -> Array:
        self._validate_params()
        if self.lengths is not None and len(self.lengths) != len(self.matrices):
            raise ValueError(
                f"lengths={self.lengths!r} must be {len(self.matrices)} numbers, one for each of the matrices"
            )
        descriptors = check_array(X, dtype=[np.float64, np.float32])
        for matrix in self.matrices:
            if matrix is not None and descriptors.shape[1] != len(matrix):
                raise ValueError(
                    f"X has {descriptors.shape[1]} features, but the visual map was learned on descriptors "
                    f"of {len(matrix)}: pass descriptors that went through the same whitener"
                )
        return descriptors

    @property
    def _n_features_out(self) -> int:
        return sum(self.n_features_in_ if matrix is None else matrix.shape[1] for matrix in self.matrices)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def side_by_side(parts: Iterable[Array], lengths: Iterable[float]) -> Array:
    """Bring the rows of each part to its length and put the parts side by side."""
    return np.hstack([unit_rows(part) * part.dtype.type(length) for part, length in zip(parts, lengths)])
