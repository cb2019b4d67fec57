"""Recall, median rank and MRR as scikit-learn metrics and scorers.

They take one row a caption: `y_true` are the descriptors of the right photographs, so that captions of the
same photograph have identical rows, and `y_pred` the descriptors predicted from the captions. The gallery
that is searched are the distinct photographs of `y_true`, in cross-validation those of the test fold; the
score therefore depends on the size of the fold.
"""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import make_scorer
from sklearn.preprocessing import normalize

from txt2img._grouping import photograph_of_caption
from txt2img._types import Array
from txt2img.evaluation._blocks import finite_matrix
from txt2img.evaluation.ranks import (
    better_and_tied_blockwise,
    check_k,
    mean_reciprocal_rank,
    median_rank,
    recall_at,
)

__all__ = [
    "mean_reciprocal_rank_score",
    "mean_reciprocal_rank_scorer",
    "median_rank_score",
    "median_rank_scorer",
    "recall_at_1",
    "recall_at_5",
    "recall_at_10",
    "recall_at_k_score",
    "recall_scorer",
]

Metric: TypeAlias = Literal["cosine", "inner_product", "euclidean"]
Scorer: TypeAlias = Callable[[Any, Any, Any], float]


def recall_at_k_score(
    y_true: ArrayLike, y_pred: ArrayLike, *, k: int = 5, metric: Metric = "cosine"
) -> float:
    """Compute the share of captions whose photograph is among the first k of the distinct ones.

    Parameters
    ----------
    y_true : array-like of shape (n_captions, n_features)
        Descriptor of the photograph of each caption.
    y_pred : array-like of shape (n_captions, n_features)
        Predicted descriptors.
    k : int, default=5
        Number of photographs looked at.
    metric : {"cosine", "inner_product", "euclidean"}, default="cosine"
        How predicted and true descriptors are compared.

    Returns
    -------
    float
        Recall@k between 0 and 1.

    Raises
    ------
    ValueError
        If the shapes differ, a number is not finite, `metric` is unknown, or `k` is greater than the
        number of distinct photographs.

    Examples
    --------
    >>> from txt2img.evaluation import recall_at_k_score
    >>> y_true = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    >>> y_pred = [[0.9, 0.1], [0.8, 0.4], [0.6, 0.2]]
    >>> round(recall_at_k_score(y_true, y_pred, k=1), 3)
    0.667
    """
    n_better, n_tied, n_gallery = _counts(y_true, y_pred, metric)
    return recall_at(n_better, n_tied, check_k(k, n_gallery))


def median_rank_score(y_true: ArrayLike, y_pred: ArrayLike, *, metric: Metric = "cosine") -> float:
    """Compute the median rank of the right photograph among the distinct ones; lower is better.

    Parameters
    ----------
    y_true : array-like of shape (n_captions, n_features)
        Descriptor of the photograph of each caption.
    y_pred : array-like of shape (n_captions, n_features)
        Predicted descriptors.
    metric : {"cosine", "inner_product", "euclidean"}, default="cosine"
        How predicted and true descriptors are compared.

    Returns
    -------
    float
        Median rank, 1 at best.

    Examples
    --------
    >>> from txt2img.evaluation import median_rank_score
    >>> median_rank_score([[1.0, 0.0], [0.0, 1.0]], [[0.9, 0.1], [0.3, 0.7]])
    1.0
    """
    n_better, n_tied, _ = _counts(y_true, y_pred, metric)
    return median_rank(n_better, n_tied)


def mean_reciprocal_rank_score(y_true: ArrayLike, y_pred: ArrayLike, *, metric: Metric = "cosine") -> float:
    """Compute the mean reciprocal rank of the right photograph among the distinct ones.

    Parameters
    ----------
    y_true : array-like of shape (n_captions, n_features)
        Descriptor of the photograph of each caption.
    y_pred : array-like of shape (n_captions, n_features)
        Predicted descriptors.
    metric : {"cosine", "inner_product", "euclidean"}, default="cosine"
        How predicted and true descriptors are compared.

    Returns
    -------
    float
        Between 0 and 1.

    Examples
    --------
    >>> from txt2img.evaluation import mean_reciprocal_rank_score
    >>> mean_reciprocal_rank_score([[1.0, 0.0], [0.0, 1.0]], [[0.9, 0.1], [0.7, 0.3]])
    0.75
    """
    n_better, n_tied, _ = _counts(y_true, y_pred, metric)
    return mean_reciprocal_rank(n_better, n_tied)


def recall_scorer(k: int = 5, *, metric: Metric = "cosine") -> Scorer:
    """Make a scorer of recall@k for ``scoring=``.

    Parameters
    ----------
    k : int, default=5
        Number of photographs looked at.
    metric : {"cosine", "inner_product", "euclidean"}, default="cosine"
        How predicted and true descriptors are compared.

    Returns
    -------
    callable
        Scorer ``scorer(estimator, X, y)``. `recall_at_1`, `recall_at_5` and `recall_at_10` are ready
        made, with the cosine.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.model_selection import GroupKFold, cross_val_score
    >>> from txt2img.evaluation import recall_scorer
    >>> rng = np.random.default_rng(0)
    >>> photograph = np.repeat(np.arange(20), 5)
    >>> y = rng.normal(size=(20, 8))[photograph]
    >>> X = y + 0.1 * rng.normal(size=y.shape)
    >>> cross_val_score(Ridge(), X, y, groups=photograph, cv=GroupKFold(2), scoring=recall_scorer(k=3))
    array([1., 1.])
    """
    return make_scorer(recall_at_k_score, k=check_k(k), metric=metric)


def median_rank_scorer(*, metric: Metric = "cosine") -> Scorer:
    """Make a scorer of the median rank, negated so that greater is better.

    Parameters
    ----------
    metric : {"cosine", "inner_product", "euclidean"}, default="cosine"
        How predicted and true descriptors are compared.

    Returns
    -------
    callable
        Scorer ``scorer(estimator, X, y)``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from txt2img.evaluation import median_rank_scorer
    >>> X = y = np.eye(4)
    >>> float(median_rank_scorer()(Ridge().fit(X, y), X, y))
    -1.0
    """
    return make_scorer(median_rank_score, greater_is_better=False, metric=metric)


def mean_reciprocal_rank_scorer(*, metric: Metric = "cosine") -> Scorer:
    """Make a scorer of the mean reciprocal rank.

    Parameters
    ----------
    metric : {"cosine", "inner_product", "euclidean"}, default="cosine"
        How predicted and true descriptors are compared.

    Returns
    -------
    callable
        Scorer ``scorer(estimator, X, y)``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from txt2img.evaluation import mean_reciprocal_rank_scorer
    >>> X = y = np.eye(4)
    >>> float(mean_reciprocal_rank_scorer()(Ridge().fit(X, y), X, y))
    1.0
    """
    return make_scorer(mean_reciprocal_rank_score, metric=metric)


recall_at_1 = recall_scorer(1)
recall_at_5 = recall_scorer(5)
recall_at_10 = recall_scorer(10)


def _counts(y_true: ArrayLike, y_pred: ArrayLike, metric: Metric) -> tuple[Array, Array, int]:
    y_pred, gallery, photograph = predictions_and_gallery(y_true, y_pred)
    queries, gallery, bias = _score_factors(y_pred, gallery, metric)
    return *better_and_tied_blockwise(queries, gallery, photograph, bias=bias), len(gallery)


def predictions_and_gallery(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Array, Array, Array]:
    """Check both; return `y_pred`, the distinct rows of `y_true`, and which of them is right for each."""
    y_true, y_pred = finite_matrix(y_true, "y_true"), finite_matrix(y_pred, "y_pred")
    if y_true.shape != y_pred.shape:
        raise ValueError(
            f"y_true has shape {y_true.shape} but y_pred has shape {y_pred.shape}; they must agree"
        )
    photograph = photograph_of_caption(len(y_true), y=y_true)
    first_caption = np.unique(photograph, return_index=True)[1]
    return y_pred, y_true[first_caption], photograph


def _score_factors(queries: Array, gallery: Array, metric: Metric) -> tuple[Array, Array, Array | None]:
    if metric == "cosine":
        return normalize(queries), normalize(gallery), None
    if metric == "inner_product":
        return queries, gallery, None
    if metric == "euclidean":
        return 2 * queries, gallery, -np.einsum("ij,ij->i", gallery, gallery)
    raise ValueError(f'metric is {metric!r}; it must be "cosine", "inner_product" or "euclidean"')
