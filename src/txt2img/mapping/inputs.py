"""What goes into a map: captions to learn from, and vectors that need no check."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from txt2img._grouping import photograph_of_caption
from txt2img._types import Array, Matrix
from txt2img.mapping.weights import check_weights


class Examples(NamedTuple):
    """Captions to learn from, one a row.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n_captions, n_features)
        Vectors of the captions.
    Y : ndarray of shape (n_captions, n_outputs), dtype as X
        Descriptors of their photographs.
    photograph : ndarray of shape (n_captions,), dtype int
        Photograph of each caption, as a number from 0 on.
    weight : ndarray of shape (n_captions,), dtype as X, or None
        Weight of each caption, greater than 0; None if all count the same.
    """

    X: Matrix
    Y: Array
    photograph: Array
    weight: Array | None

    def take(self, rows: Array) -> Examples:
        """Take some of the captions."""
        weight = None if self.weight is None else self.weight[rows]
        return Examples(self.X[rows], self.Y[rows], self.photograph[rows], weight)

    def set_aside(self, fraction: float, random_state: np.random.RandomState) -> tuple[Examples, Examples]:
        """Split captions into those learned from and those of photographs set aside."""
        n_photographs = int(self.photograph.max()) + 1
        if n_photographs < 2:
            raise ValueError(
                "early_stopping=True sets photographs aside, but y and groups hold one photograph only: "
                "pass more, or early_stopping=False"
            )
        n_aside = min(max(1, round(fraction * n_photographs)), n_photographs - 1)
        aside = np.zeros(n_photographs, bool)
        aside[random_state.permutation(n_photographs)[:n_aside]] = True
        is_aside = aside[self.photograph]
        return self.take(np.flatnonzero(~is_aside)), self.take(np.flatnonzero(is_aside))


def checked_examples(
    estimator: BaseEstimator,
    X: Matrix | ArrayLike,
    y: ArrayLike,
    groups: Iterable[Hashable] | None,
    sample_weight: ArrayLike | None,
    *,
    reset: bool,
) -> Examples:
    """Check what an estimator is to learn from; captions of weight 0 are left out."""
    X, Y = validate_data(
        estimator,
        X,
        y,
        accept_sparse="csr",
        dtype=[np.float64, np.float32],
        multi_output=True,
        y_numeric=True,
        reset=reset,
    )
    X = sp.csr_matrix(X) if sp.issparse(X) else X
    photograph = photograph_of_caption(len(Y), groups, Y)
    Y = Y.astype(X.dtype, copy=False).reshape(len(Y), -1)
    if sample_weight is None:
        return Examples(X, Y, photograph, None)
    weight = check_weights(sample_weight, len(Y), X.dtype)
    kept = np.flatnonzero(weight)
    photograph = np.unique(photograph[kept], return_inverse=True)[1]
    return Examples(X[kept], Y[kept], photograph, weight[kept])


def needs_no_conversion(X: Any, n_features: int) -> TypeGuard[Matrix]:
    """Say whether X is what scikit-learn's check would return, as that takes longer than a prediction."""
    return (
        type(X) in (np.ndarray, sp.csr_matrix)
        and X.dtype in (np.float32, np.float64)
        and X.ndim == 2
        and X.shape[0] > 0
        and X.shape[1] == n_features
        and bool(np.isfinite(X.data if sp.issparse(X) else X).all())
    )
