"""Ranks of the right photographs, and the figures made of them, as pure functions of arrays.

The position of the right photograph of a query is kept as two counts: how many photographs score strictly
better, and how many score the same, the right one included. Every figure here is its expected value when
ties are broken at random, so that a predictor that cannot tell photographs apart scores chance, not 100 %.

Where several answers are right, as the five captions of a photograph, the rank is that of the best of them,
and a third count says how many of the tied ones are right; see `first_relevant`.
"""

from collections.abc import Sequence
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike

from txt2img._types import Array
from txt2img.evaluation._blocks import BLOCK_BYTES, finite_matrix, score_blocks, valid_factors

__all__ = [
    "better_and_tied",
    "better_and_tied_blockwise",
    "chance_levels",
    "mean_rank",
    "mean_ranks",
    "mean_reciprocal_rank",
    "median_rank",
    "recall_at",
    "retrieval_figures",
]


def better_and_tied(scores: ArrayLike, positions: ArrayLike) -> tuple[Array, Array]:
    """Count the photographs that score better than the right one, and those that score the same.

    Parameters
    ----------
    scores : array-like of shape (n_queries, n_gallery)
        Score of every photograph of the gallery for every query; greater is better.
    positions : array-like of shape (n_queries,), dtype int
        Column of the right photograph of each query.

    Returns
    -------
    n_better : ndarray of shape (n_queries,), dtype intp
        Number of photographs with a strictly greater score than the right one.
    n_tied : ndarray of shape (n_queries,), dtype intp
        Number of photographs with exactly the score of the right one, itself included, so at least 1.

    Raises
    ------
    ValueError
        If a score is not a finite number, or a position is not a column of `scores`.

    Examples
    --------
    >>> from txt2img.evaluation import better_and_tied
    >>> n_better, n_tied = better_and_tied([[0.9, 0.4, 0.4], [0.1, 0.2, 0.3]], [1, 2])
    >>> n_better, n_tied
    (array([1, 0]), array([2, 1]))
    """
    scores = finite_matrix(scores, "scores")
    positions = _valid_positions(positions, *scores.shape)
    return count_better_and_tied(scores, scores[np.arange(len(scores)), positions])


def better_and_tied_blockwise(
    queries: ArrayLike,
    gallery: ArrayLike,
    positions: ArrayLike,
    *,
    bias: ArrayLike | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> tuple[Array, Array]:
    """Do what `better_and_tied` does, without ever holding all the scores.

    The score of photograph j for query i is ``queries[i] @ gallery[j] + bias[j]``. With rows of unit
    length it is the cosine; with ``2 * queries`` and ``bias = -(gallery**2).sum(1)`` it orders the
    photographs as the Euclidean distance does.

    Parameters
    ----------
    queries : array-like of shape (n_queries, n_features)
        Predicted descriptors.
    gallery : array-like of shape (n_gallery, n_features)
        Descriptors of the photographs. Scores are computed in their precision, float32 at least.
    positions : array-like of shape (n_queries,), dtype int
        Row in `gallery` of the right photograph of each query.
    bias : array-like of shape (n_gallery,), default=None
        Number to add to all scores of a photograph.
    block_bytes : int, default=67108864
        Size of the block of scores held at a time, by default 64 MiB; it has room for one query at
        least. The comparisons take another quarter of it.

    Returns
    -------
    n_better, n_tied : ndarrays of shape (n_queries,), dtype intp
        As in `better_and_tied`.

    Raises
    ------
    ValueError
        If the shapes do not fit one another, a number is not finite, or numbers are so large that the
        scores overflow.

    Notes
    -----
    The score of the right photograph is read from the same matrix product as all the others, and
    photographs with the same descriptor are scored once: a matrix product may round equal rows
    differently, and their tie would be decided by it. Where there are such photographs, a second block is
    held.

    Examples
    --------
    >>> import numpy as np
    >>> from txt2img.evaluation import better_and_tied_blockwise
    >>> gallery = np.eye(3)
    >>> better_and_tied_blockwise([[0.1, 0.7, 0.2]], gallery, [2])
    (array([1]), array([1]))
    """
    queries, gallery, bias = valid_factors(queries, gallery, bias)
    positions = _valid_positions(positions, len(queries), len(gallery))
    n_better = np.empty(len(queries), np.intp)
    n_tied = np.empty(len(queries), np.intp)
    for block, scores in score_blocks(queries, gallery, bias, block_bytes):
        right = scores[np.arange(len(scores)), positions[block]]
        n_better[block], n_tied[block] = count_better_and_tied(scores, right)
    return n_better, n_tied


def mean_ranks(n_better: ArrayLike, n_tied: ArrayLike, n_right: ArrayLike | None = None) -> Array:
    """Compute the rank of the right photograph of each query, counted from 1; among ties its expectation.

    Parameters
    ----------
    n_better, n_tied : array-like of shape (n_queries,), dtype int
        Counts from `better_and_tied`.
    n_right : array-like of shape (n_queries,), dtype int, default=None
        How many of the tied ones are right, from `first_relevant`; by default one each.

    Returns
    -------
    ndarray of shape (n_queries,), dtype float64
        ``n_better + (n_tied + 1) / 2``, and with several right ones
        ``n_better + (n_tied + 1) / (n_right + 1)``.

    Examples
    --------
    >>> from txt2img.evaluation import mean_ranks
    >>> mean_ranks([0, 3], [1, 2])
    array([1. , 4.5])
    """
    n_better, n_tied, n_right = _valid_counts(n_better, n_tied, n_right)
    return n_better + (n_tied + 1) / (2 if n_right is None else n_right + 1)


def recall_at(n_better: ArrayLike, n_tied: ArrayLike, k: int, n_right: ArrayLike | None = None) -> float:
    """Compute recall@k: the share of queries whose right photograph is among the first k.

    Parameters
    ----------
    n_better, n_tied : array-like of shape (n_queries,), dtype int
        Counts from `better_and_tied`.
    k : int
        Number of photographs looked at, at least 1.
    n_right : array-like of shape (n_queries,), dtype int, default=None
        How many of the tied ones are right, from `first_relevant`; by default one each.

    Returns
    -------
    float
        Between 0 and 1. A query with ties counts with its probability of being found when ties are
        broken at random.

    Examples
    --------
    Four photographs that all score the same: one look finds the right one in a quarter of the cases.

    >>> from txt2img.evaluation import recall_at
    >>> recall_at([0], [4], k=1)
    0.25
    """
    return float(found_within(n_better, n_tied, k, n_right).mean())


def median_rank(n_better: ArrayLike, n_tied: ArrayLike, n_right: ArrayLike | None = None) -> float:
    """Compute the median of `mean_ranks`.

    Parameters
    ----------
    n_better, n_tied : array-like of shape (n_queries,), dtype int
        Counts from `better_and_tied`.
    n_right : array-like of shape (n_queries,), dtype int, default=None
        How many of the tied ones are right, from `first_relevant`; by default one each.

    Returns
    -------
    float
        Median rank, 1 at best.

    Examples
    --------
    >>> from txt2img.evaluation import median_rank
    >>> median_rank([0, 3, 9], [1, 1, 1])
    4.0
    """
    return float(np.median(mean_ranks(n_better, n_tied, n_right)))


def mean_rank(n_better: ArrayLike, n_tied: ArrayLike, n_right: ArrayLike | None = None) -> float:
    """Compute the mean of `mean_ranks`.

    Parameters
    ----------
    n_better, n_tied : array-like of shape (n_queries,), dtype int
        Counts from `better_and_tied`.
    n_right : array-like of shape (n_queries,), dtype int, default=None
        How many of the tied ones are right, from `first_relevant`; by default one each.

    Returns
    -------
    float
        Mean rank, 1 at best.

    Examples
    --------
    >>> from txt2img.evaluation import mean_rank
    >>> mean_rank([0, 3, 9], [1, 1, 1])
    5.0
    """
    return float(np.mean(mean_ranks(n_better, n_tied, n_right)))


def mean_reciprocal_rank(n_better: ArrayLike, n_tied: ArrayLike, n_right: ArrayLike | None = None) -> float:
    """Compute the mean of 1 / rank (MRR).

    Parameters
    ----------
    n_better, n_tied : array-like of shape (n_queries,), dtype int
        Counts from `better_and_tied`.
    n_right : array-like of shape (n_queries,), dtype int, default=None
        How many of the tied ones are right, from `first_relevant`; by default one each.

    Returns
    -------
    float
        Between 0 and 1. A query with ties counts with the expected 1 / rank when ties are broken at
        random, which is more than 1 / (mean rank).

    Examples
    --------
    >>> from txt2img.evaluation import mean_reciprocal_rank
    >>> mean_reciprocal_rank([0, 1], [1, 1])
    0.75
    >>> mean_reciprocal_rank([0], [2])  # first or second, with equal probability
    0.75
    """
    return float(reciprocal_ranks(n_better, n_tied, n_right).mean())


def retrieval_figures(
    n_better: ArrayLike, n_tied: ArrayLike, ks: Sequence[int], n_right: ArrayLike | None = None
) -> dict[str, float]:
    """Compute all the figures at once.

    Parameters
    ----------
    n_better, n_tied : array-like of shape (n_queries,), dtype int
        Counts from `better_and_tied`.
    ks : sequence of int
        Cut-offs of recall@k.
    n_right : array-like of shape (n_queries,), dtype int, default=None
        How many of the tied ones are right, from `first_relevant`; by default one each.

    Returns
    -------
    dict of str to float
        ``"R@k"`` for each k (fractions), ``"median_rank"``, ``"mean_rank"``, ``"MRR"``.

    Examples
    --------
    >>> from txt2img.evaluation import retrieval_figures
    >>> retrieval_figures([0, 1], [1, 1], ks=(1, 2))
    {'R@1': 0.5, 'R@2': 1.0, 'median_rank': 1.5, 'mean_rank': 1.5, 'MRR': 0.75}
    """
    return {f"R@{k}": recall_at(n_better, n_tied, k, n_right) for k in ks} | {
        "median_rank": median_rank(n_better, n_tied, n_right),
        "mean_rank": mean_rank(n_better, n_tied, n_right),
        "MRR": mean_reciprocal_rank(n_better, n_tied, n_right),
    }


def chance_levels(
    n_gallery: ArrayLike, ks: Sequence[int], n_right: ArrayLike | None = None
) -> dict[str, float]:
    """Compute the same figures for photographs in random order.

    Parameters
    ----------
    n_gallery : int or array-like of shape (n_queries,), dtype int
        Number of photographs searched, for all queries or for each.
    ks : sequence of int
        Cut-offs of recall@k.
    n_right : array-like of shape (n_queries,), dtype int, default=None
        Number of right ones of each query; by default one each.

    Returns
    -------
    dict of str to float
        Keys as in `retrieval_figures`: with one right photograph k / n, (n + 1) / 2 twice, and the harmonic
        number H_n divided by n.

    Examples
    --------
    >>> from txt2img.evaluation import chance_levels
    >>> chance_levels(4, ks=(1, 2))
    {'R@1': 0.25, 'R@2': 0.5, 'median_rank': 2.5, 'mean_rank': 2.5, 'MRR': 0.5208333333333333}
    """
    n_searched = np.asarray(n_gallery)
    if n_searched.ndim == 0:
        n_queries = 1 if n_right is None else len(np.asarray(n_right))
        n_searched = np.full(n_queries, check_k(n_searched.item(), name="n_gallery"))
    return retrieval_figures(np.zeros(len(n_searched), np.intp), n_searched, ks, n_right)


def found_within(n_better: ArrayLike, n_tied: ArrayLike, k: int, n_right: ArrayLike | None = None) -> Array:
    """Say of each query with what probability a right photograph is among the first k."""
    n_better, n_tied, n_right = _valid_counts(n_better, n_tied, n_right)
    looked_at = np.clip(check_k(k) - n_better, 0, n_tied)
    if n_right is None:
        return looked_at / n_tied
    missed = np.ones(len(n_tied))
    for i in range(n_right.max()):
        missed *= np.where(i < n_right, np.maximum(n_tied - looked_at - i, 0) / np.maximum(n_tied - i, 1), 1)
    return 1 - missed


def reciprocal_ranks(n_better: ArrayLike, n_tied: ArrayLike, n_right: ArrayLike | None = None) -> Array:
    """Compute the expected 1 / rank of each query."""
    n_better, n_tied, n_right = _valid_counts(n_better, n_tied, n_right)
    if n_right is None:
        harmonic = harmonic_numbers((n_better + n_tied).max())
        return (harmonic[n_better + n_tied] - harmonic[n_better]) / n_tied
    cases, case = np.unique(np.column_stack([n_better, n_tied, n_right]), axis=0, return_inverse=True)
    return np.array([_reciprocal_of_first(*each) for each in cases.tolist()])[case.ravel()]


def harmonic_numbers(n: int) -> Array:
    """Return H_0, H_1, ..., H_n."""
    return np.concatenate([[0.0], np.cumsum(1 / np.arange(1, n + 1))])


def count_better_and_tied(scores: Array, right: Array) -> tuple[Array, Array]:
    """Count in each row the scores above and equal to one."""
    right = right[:, np.newaxis]
    return np.count_nonzero(scores > right, axis=1), np.count_nonzero(scores == right, axis=1)


def check_k(k: int, n_gallery: int | None = None, *, name: str = "k") -> int:
    """Return `k`, or say what is wrong with it as a number of photographs."""
    if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
        raise ValueError(f"{name} is {k!r}; it must be a whole number, 1 or more")
    if n_gallery is not None and k > n_gallery:
        raise ValueError(
            f"{name} is {k} but there are only {n_gallery} photographs to search: "
            f"pass at most {n_gallery}, or search more photographs"
        )
    return int(k)


def _valid_positions(positions: ArrayLike, n_queries: int, n_gallery: int) -> Array:
    positions = np.asarray(positions)
    if positions.shape != (n_queries,) or positions.dtype.kind not in "iu":
        raise ValueError(
            f"positions has shape {positions.shape} and dtype {positions.dtype}; "
            f"it must be ({n_queries},) whole numbers, the right photograph of each query"
        )
    if positions.min() < 0 or positions.max() >= n_gallery:
        raise ValueError(
            f"positions run from {positions.min()} to {positions.max()}; "
            f"they must lie between 0 and {n_gallery - 1}, the rows of the gallery"
        )
    return positions


def _valid_counts(
    n_better: ArrayLike, n_tied: ArrayLike, n_right: ArrayLike | None
) -> tuple[Array, Array, Array | None]:
    n_better, n_tied = np.asarray(n_better), np.asarray(n_tied)
    if n_better.shape != n_tied.shape or n_better.ndim != 1 or n_better.size == 0:
        raise ValueError(
            f"n_better has shape {n_better.shape} and n_tied {n_tied.shape}; "
            "both must be (n_queries,) with at least one query"
        )
    if (
        n_better.dtype.kind not in "iu"
        or n_tied.dtype.kind not in "iu"
        or n_better.min() < 0
        or n_tied.min() < 1
    ):
        raise ValueError(
            "n_better must hold whole numbers from 0 and n_tied whole numbers from 1: "
            "the right photograph is tied with itself"
        )
    n_better, n_tied = n_better.astype(np.intp, copy=False), n_tied.astype(np.intp, copy=False)
    if n_right is None:
        return n_better, n_tied, None
    n_right = np.asarray(n_right)
    if n_right.shape != n_tied.shape or n_right.dtype.kind not in "iu" or not (n_right >= 1).all():
        raise ValueError(
            f"n_right has shape {n_right.shape} and dtype {n_right.dtype}; "
            f"it must be {n_tied.shape} whole numbers from 1"
        )
    if (n_right > n_tied).any():
        raise ValueError("n_right must not exceed n_tied: it counts the right ones among the tied")
    return n_better, n_tied, n_right.astype(np.intp, copy=False)


def _reciprocal_of_first(n_better: int, n_tied: int, n_right: int) -> float:
    """Average 1 / rank of the first of `n_right` among `n_tied` in random order."""
    place = np.arange(1, n_tied - n_right + 2)
    # Of the orders in which the first one is not before `place`, the share in which it is at `place`.
    later = np.append(1, np.cumprod((n_tied - place[:-1] - n_right + 1) / (n_tied - place[:-1] + 1)))
    return float(np.sum(later * n_right / (n_tied - place + 1) / (n_better + place)))
