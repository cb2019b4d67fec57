"""Hubs: photographs that come up for everything."""

import numpy as np
from numpy.typing import ArrayLike

from txt2img._types import Array
from txt2img.evaluation._blocks import BLOCK_BYTES, score_blocks, valid_factors
from txt2img.evaluation.ranks import check_k

__all__ = ["k_occurrence", "k_occurrence_skewness"]


def k_occurrence(
    queries: ArrayLike,
    gallery: ArrayLike,
    k: int,
    *,
    bias: ArrayLike | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Array:
    """Count how often each photograph is among the first k of a query.

    Parameters
    ----------
    queries : array-like of shape (n_queries, n_features)
        Predicted descriptors.
    gallery : array-like of shape (n_gallery, n_features)
        Descriptors of the photographs.
    k : int
        Length of the lists, at most n_gallery. Ties at the end of a list are broken arbitrarily.
    bias : array-like of shape (n_gallery,), default=None
        Number to add to all scores of a photograph.
    block_bytes : int, default=67108864
        Size of the block of scores held at a time, by default 64 MiB.

    Returns
    -------
    ndarray of shape (n_gallery,), dtype intp
        Counts; their sum is ``k * n_queries``.

    Examples
    --------
    >>> from txt2img.evaluation import k_occurrence
    >>> k_occurrence([[1.0], [2.0], [-1.0]], [[3.0], [1.0], [2.0]], k=2)
    array([2, 1, 3])
    """
    queries, gallery, bias = valid_factors(queries, gallery, bias)
    check_k(k, n_gallery=len(gallery))
    counts = np.zeros(len(gallery), np.intp)
    for _, scores in score_blocks(queries, gallery, bias, block_bytes):
        first = np.argpartition(scores, len(gallery) - k, axis=1)[:, len(gallery) - k :]
        counts += np.bincount(first.ravel(), minlength=len(gallery))
    return counts


def k_occurrence_skewness(counts: ArrayLike) -> float:
    """Measure hubness: how unevenly the photographs share the places in the lists of hits.

    Parameters
    ----------
    counts : array-like of shape (n_gallery,)
        How often each photograph is among the first k, from `k_occurrence`.

    Returns
    -------
    float
        Skewness of the counts. About 0 without hubs; well above 1 when a few photographs (hubs) come up
        for everything.

    References
    ----------
    M. Radovanović, A. Nanopoulos, M. Ivanović. Hubs in space: popular nearest neighbors in
    high-dimensional data. Journal of Machine Learning Research 11, 2010.

    Examples
    --------
    >>> from txt2img.evaluation import k_occurrence_skewness
    >>> k_occurrence_skewness([1, 2, 3])
    0.0
    >>> round(k_occurrence_skewness([0, 0, 0, 0, 10]), 2)
    1.5
    """
    counts = np.asarray(counts, dtype=np.float64)
    deviations = counts - counts.mean()
    spread = deviations.std()
    return float(np.mean(deviations**3) / spread**3) if spread > 0 else 0.0
