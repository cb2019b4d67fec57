"""Figures where several photographs are right, or right to a degree, as pure functions of arrays.

What is right is told by a matrix with one row a query and one column a photograph: positive entries are
grades, zeros are wrong. The position of every right photograph is kept as two counts, as in `ranks`, and
every figure is its expected value when ties are broken at random.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from txt2img._types import Array, Matrix
from txt2img.evaluation._blocks import BLOCK_BYTES, score_blocks, valid_factors
from txt2img.evaluation.ranks import check_k, harmonic_numbers

__all__ = [
    "average_precision",
    "first_relevant",
    "mean_average_precision",
    "ndcg_at",
    "relevant_better_and_tied",
]


def relevant_better_and_tied(
    queries: ArrayLike,
    gallery: ArrayLike,
    relevance: Matrix | ArrayLike,
    *,
    bias: ArrayLike | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> tuple[Array, Array]:
    """Count for every right photograph those that score better, and those that score the same.

    The scores are those of `better_and_tied_blockwise`, of which only a block is held at a time. It serves
    both directions: for photographs that look for their captions, pass the descriptors of the photographs
    as `queries` and those predicted from the captions as `gallery`.

    Parameters
    ----------
    queries : array-like of shape (n_queries, n_features)
        Predicted descriptors.
    gallery : array-like of shape (n_gallery, n_features)
        Descriptors of the photographs.
    relevance : array-like or sparse matrix of shape (n_queries, n_gallery)
        Which photographs are right for a query: boolean, or grades that are greater than 0.
    bias : array-like of shape (n_gallery,), default=None
        Number to add to all scores of a photograph.
    block_bytes : int, default=67108864
        Size of the block of scores held at a time, by default 64 MiB.

    Returns
    -------
    n_better, n_tied : ndarrays of shape (n_right,), dtype intp
        As in `better_and_tied`, one entry for each right photograph of each query: row by row, in a row from
        left to right.

    Raises
    ------
    ValueError
        If the shapes do not fit one another, a number is not finite, a grade is negative, or a query has no
        right photograph.

    Examples
    --------
    >>> from txt2img.evaluation import relevant_better_and_tied
    >>> gallery = [[4.0], [3.0], [2.0], [1.0]]
    >>> relevant_better_and_tied([[1.0]], gallery, [[1, 0, 0, 1]])
    (array([0, 3]), array([1, 1]))
    """
    queries, gallery, bias = valid_factors(queries, gallery, bias)
    relevance = _valid_relevance(relevance, (len(queries), len(gallery)))
    columns, ends = relevance.indices, relevance.indptr
    n_better, n_tied = np.empty((2, len(columns)), np.intp)
    for block, scores in score_blocks(queries, gallery, bias, block_bytes):
        rows = range(block.start, block.stop)
        right = [scores[row - block.start, columns[ends[row] : ends[row + 1]]] for row in rows]
        scores.sort(axis=1)
        for row, in_order, own in zip(rows, scores, right):
            each = slice(ends[row], ends[row + 1])
            end = np.searchsorted(in_order, own, side="right")
            n_better[each] = len(gallery) - end
            n_tied[each] = end - np.searchsorted(in_order, own, side="left")
    return n_better, n_tied


def first_relevant(
    n_better: ArrayLike, n_tied: ArrayLike, relevance: Matrix | ArrayLike
) -> tuple[Array, Array, Array]:
    """Find the best of the right photographs of each query, whose rank the field reports.

    Parameters
    ----------
    n_better, n_tied : array-like of shape (n_right,), dtype int
        Counts from `relevant_better_and_tied`.
    relevance : array-like or sparse matrix of shape (n_queries, n_gallery)
        Which photographs are right, as it was given there.

    Returns
    -------
    n_better, n_tied, n_right : ndarrays of shape (n_queries,), dtype intp
        How many photographs score better than the best right one, how many score the same, and how many of
        these are right: what `recall_at`, `mean_ranks` and the others take.

    Examples
    --------
    >>> from txt2img.evaluation import first_relevant, mean_ranks
    >>> first_relevant([0, 3], [1, 1], [[1, 0, 0, 1]])
    (array([0]), array([1]), array([1]))

    Two right ones among four that score the same: the first of them comes, on average, at 5/3.

    >>> mean_ranks(*first_relevant([0, 0], [4, 4], [[1, 0, 0, 1]])).round(3)
    array([1.667])
    """
    n_better, n_tied, relevance = _valid_counts(n_better, n_tied, relevance)
    starts = relevance.indptr[:-1]
    best = np.minimum.reduceat(n_better, starts)
    is_best = n_better == best[_query_of_each(relevance)]
    return (
        best,
        np.maximum.reduceat(n_tied * is_best, starts),
        np.add.reduceat(is_best, starts, dtype=np.intp),
    )


def average_precision(n_better: ArrayLike, n_tied: ArrayLike, relevance: Matrix | ArrayLike) -> Array:
    """Compute the average precision of each query.

    Parameters
    ----------
    n_better, n_tied : array-like of shape (n_right,), dtype int
        Counts from `relevant_better_and_tied`.
    relevance : array-like or sparse matrix of shape (n_queries, n_gallery)
        Which photographs are right, as it was given there; grades do not count.

    Returns
    -------
    ndarray of shape (n_queries,), dtype float64
        Mean, over the right photographs, of the share of right ones among the photographs up to there.

    References
    ----------
    F. McSherry, M. Najork. Computing information retrieval performance measures efficiently in the presence
    of tied scores. European Conference on Information Retrieval, 2008.

    Examples
    --------
    >>> from txt2img.evaluation import average_precision
    >>> average_precision([0, 3], [1, 1], [[1, 0, 0, 1]])  # ranks 1 and 4
    array([0.75])
    """
    n_better, n_tied, relevance = _valid_counts(n_better, n_tied, relevance)
    query = _query_of_each(relevance)
    order = np.lexsort((n_better, query))
    n_better, n_tied = n_better[order], n_tied[order]
    # Runs of right photographs of one query that are tied with one another.
    is_new = np.append(True, (np.diff(query) > 0) | (np.diff(n_better) > 0))
    run = np.cumsum(is_new) - 1
    n_right = np.bincount(run)[run]
    right_better = np.flatnonzero(is_new)[run] - relevance.indptr[query]
    # At the i-th place of a run, right_better + 1 + (i - 1) * others are right, on average.
    others = (n_right - 1) / np.maximum(n_tied - 1, 1)
    harmonic = harmonic_numbers(relevance.shape[1])
    reciprocal = (harmonic[n_better + n_tied] - harmonic[n_better]) / n_tied
    precision = others + (right_better + 1 - others * (n_better + 1)) * reciprocal
    return np.bincount(query, precision) / np.diff(relevance.indptr)


def mean_average_precision(n_better: ArrayLike, n_tied: ArrayLike, relevance: Matrix | ArrayLike) -> float:
    """Compute the mean of `average_precision` (mAP).

    Parameters
    ----------
    n_better, n_tied : array-like of shape (n_right,), dtype int
        Counts from `relevant_better_and_tied`.
    relevance : array-like or sparse matrix of shape (n_queries, n_gallery)
        Which photographs are right, as it was given there; grades do not count.

    Returns
    -------
    float
        Between 0 and 1. With one right photograph a query it is the MRR.

    Examples
    --------
    >>> from txt2img.evaluation import mean_average_precision
    >>> round(mean_average_precision([0, 3, 1], [1, 1, 1], [[1, 0, 0, 1], [0, 1, 0, 0]]), 3)
    0.625
    """
    return float(average_precision(n_better, n_tied, relevance).mean())


def ndcg_at(
    n_better: ArrayLike, n_tied: ArrayLike, relevance: Matrix | ArrayLike, k: int | None = None
) -> float:
    r"""Compute the normalised discounted cumulative gain (nDCG) of the first k.

    Parameters
    ----------
    n_better, n_tied : array-like of shape (n_right,), dtype int
        Counts from `relevant_better_and_tied`.
    relevance : array-like or sparse matrix of shape (n_queries, n_gallery)
        Grades, as they were given there. The gain of a photograph is its grade itself; for the gain
        :math:`2^{\text{grade}} - 1` pass that.
    k : int, default=None
        Number of photographs looked at; by default all of them.

    Returns
    -------
    float
        Mean over the queries, between 0 and 1: the sum of the grades, each divided by
        :math:`\log_2(\text{rank} + 1)`, as a share of that of the best order.

    References
    ----------
    K. Järvelin, J. Kekäläinen. Cumulated gain-based evaluation of IR techniques. ACM Transactions on
    Information Systems 20(4), 2002.

    Examples
    --------
    >>> from txt2img.evaluation import ndcg_at
    >>> round(ndcg_at([0, 1], [1, 1], [[1, 2, 0, 0]]), 3)  # the better one comes second
    0.86
    """
    n_better, n_tied, relevance = _valid_counts(n_better, n_tied, relevance)
    k = relevance.shape[1] if k is None else min(check_k(k), relevance.shape[1])
    discounts = np.append(0, np.cumsum(1 / np.log2(np.arange(2, k + 2))))
    query, grades = _query_of_each(relevance), relevance.data

    def cumulated(first: Array, n: Array | int) -> Array:
        """Discounts of ranks first + 1 to first + n, those after k being none, averaged; times the grades."""
        discount = (discounts[np.minimum(first + n, k)] - discounts[np.minimum(first, k)]) / n
        return np.bincount(query, grades * discount)

    best = np.empty_like(n_better)
    best[np.lexsort((-grades, query))] = np.arange(len(grades)) - relevance.indptr[query]
    return float(np.mean(cumulated(n_better, n_tied) / cumulated(best, 1)))


def _valid_relevance(relevance: Matrix | ArrayLike, shape: tuple[int, int] | None = None) -> csr_array:
    """Return a CSR array of the positive grades, columns in order, or say what is wrong."""
    relevance = csr_array(relevance, copy=True)
    if relevance.ndim != 2 or (shape is not None and relevance.shape != shape):
        raise ValueError(
            f"relevance has shape {relevance.shape}; it must have one row a query and one column a "
            f"photograph{'' if shape is None else f', {shape}'}"
        )
    if (
        relevance.dtype.kind not in "bfiu"
        or not (relevance.data >= 0).all()
        or np.isinf(relevance.data).any()
    ):
        raise ValueError("relevance holds something else than finite grades from 0: repair these entries")
    relevance = relevance.astype(np.float64)
    relevance.eliminate_zeros()
    relevance.sum_duplicates()
    without = np.flatnonzero(np.diff(relevance.indptr) == 0)
    if len(without) or not relevance.shape[0]:
        raise ValueError(
            f"relevance has no right photograph for {len(without)} of {relevance.shape[0]} queries"
            f"{f', first query {without[0]}' if len(without) else ''}: leave these queries out"
        )
    return relevance


def _valid_counts(
    n_better: ArrayLike, n_tied: ArrayLike, relevance: Matrix | ArrayLike
) -> tuple[Array, Array, csr_array]:
    relevance = _valid_relevance(relevance)
    n_better, n_tied = np.asarray(n_better), np.asarray(n_tied)
    whole = n_better.dtype.kind in "iu" and n_tied.dtype.kind in "iu"
    if not (whole and n_better.shape == n_tied.shape == relevance.data.shape):
        raise ValueError(
            f"n_better has shape {n_better.shape} and n_tied {n_tied.shape}; both must hold whole numbers, "
            f"one for each of the {relevance.nnz} right photographs in relevance"
        )
    if n_better.min() < 0 or n_tied.min() < 1 or (n_better + n_tied).max() > relevance.shape[1]:
        raise ValueError(
            "n_better must hold numbers from 0 and n_tied numbers from 1, together at most the "
            f"{relevance.shape[1]} photographs of relevance"
        )
    return n_better, n_tied, relevance


def _query_of_each(relevance: csr_array) -> Array:
    return np.repeat(np.arange(relevance.shape[0]), np.diff(relevance.indptr))
