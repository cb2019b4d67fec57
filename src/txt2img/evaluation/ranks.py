"""Ranks of the right photographs, and the figures made of them, as pure functions of arrays.

The position of the right photograph of a query is kept as two counts: how many photographs score strictly
better, and how many score the same, the right one included. Every figure here is its expected value when
ties are broken at random, so that a predictor that cannot tell photographs apart scores chance, not 100 %.
"""

from numbers import Integral

import numpy as np

from txt2img._grouping import photograph_of_caption
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


def better_and_tied(scores, positions):
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
    return _count(scores, positions, np.arange(scores.shape[1]))


def better_and_tied_blockwise(queries, gallery, positions, *, bias=None, block_bytes=BLOCK_BYTES):
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
    differently, and their tie would be decided by it.

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
    gallery, bias, column = _without_twins(gallery, bias)
    n_better = np.empty(len(queries), np.intp)
    n_tied = np.empty(len(queries), np.intp)
    for block, scores in score_blocks(queries, gallery, bias, block_bytes):
        n_better[block], n_tied[block] = _count(scores, column[positions[block]], column)
    return n_better, n_tied


def mean_ranks(n_better, n_tied):
    """Compute the rank of the right photograph of each query, counted from 1; among ties the mean.

    Parameters
    ----------
    n_better, n_tied : array-like of shape (n_queries,), dtype int
        Counts from `better_and_tied`.

    Returns
    -------
    ndarray of shape (n_queries,), dtype float64
        ``n_better + (n_tied + 1) / 2``.

    Examples
    --------
    >>> from txt2img.evaluation import mean_ranks
    >>> mean_ranks([0, 3], [1, 2])
    array([1. , 4.5])
    """
    n_better, n_tied = _valid_counts(n_better, n_tied)
    return n_better + (n_tied + 1) / 2


def recall_at(n_better, n_tied, k):
    """Compute recall@k: the share of queries whose right photograph is among the first k.

    Parameters
    ----------
    n_better, n_tied : array-like of shape (n_queries,), dtype int
        Counts from `better_and_tied`.
    k : int
        Number of photographs looked at, at least 1.

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
    return float(found_within(n_better, n_tied, k).mean())


def median_rank(n_better, n_tied):
    """Compute the median of `mean_ranks`.

    Parameters
    ----------
    n_better, n_tied : array-like of shape (n_queries,), dtype int
        Counts from `better_and_tied`.

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
    return float(np.median(mean_ranks(n_better, n_tied)))


def mean_rank(n_better, n_tied):
    """Compute the mean of `mean_ranks`.

    Parameters
    ----------
    n_better, n_tied : array-like of shape (n_queries,), dtype int
        Counts from `better_and_tied`.

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
    return float(np.mean(mean_ranks(n_better, n_tied)))


def mean_reciprocal_rank(n_better, n_tied):
    """Compute the mean of 1 / rank (MRR).

    Parameters
    ----------
    n_better, n_tied : array-like of shape (n_queries,), dtype int
        Counts from `better_and_tied`.

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
    n_better, n_tied = _valid_counts(n_better, n_tied)
    harmonic = _harmonic_numbers((n_better + n_tied).max())
    return float(np.mean((harmonic[n_better + n_tied] - harmonic[n_better]) / n_tied))


def retrieval_figures(n_better, n_tied, ks):
    """Compute all the figures at once.

    Parameters
    ----------
    n_better, n_tied : array-like of shape (n_queries,), dtype int
        Counts from `better_and_tied`.
    ks : sequence of int
        Cut-offs of recall@k.

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
    return {f"R@{k}": recall_at(n_better, n_tied, k) for k in ks} | {
        "median_rank": median_rank(n_better, n_tied),
        "mean_rank": mean_rank(n_better, n_tied),
        "MRR": mean_reciprocal_rank(n_better, n_tied),
    }


def chance_levels(n_gallery, ks):
    """Compute the same figures for photographs in random order.

    Parameters
    ----------
    n_gallery : int
        Number of photographs searched.
    ks : sequence of int
        Cut-offs of recall@k.

    Returns
    -------
    dict of str to float
        Keys as in `retrieval_figures`: k / n, (n + 1) / 2 twice, and the harmonic number H_n divided
        by n.

    Examples
    --------
    >>> from txt2img.evaluation import chance_levels
    >>> chance_levels(4, ks=(1, 2))
    {'R@1': 0.25, 'R@2': 0.5, 'median_rank': 2.5, 'mean_rank': 2.5, 'MRR': 0.5208333333333333}
    """
    return retrieval_figures([0], [check_k(n_gallery, name="n_gallery")], ks)


def found_within(n_better, n_tied, k):
    """Say of each query with what probability its right photograph is among the first k."""
    n_better, n_tied = _valid_counts(n_better, n_tied)
    return np.clip((check_k(k) - n_better) / n_tied, 0, 1)


def check_k(k, n_gallery=None, *, name="k"):
    """Return `k`, or say what is wrong with it as a number of photographs."""
    if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
        raise ValueError(f"{name} is {k!r}; it must be a whole number, 1 or more")
    if n_gallery is not None and k > n_gallery:
        raise ValueError(
            f"{name} is {k} but there are only {n_gallery} photographs to search: "
            f"pass at most {n_gallery}, or search more photographs"
        )
    return int(k)


def _count(scores, positions, column):
    """Count over photographs, of which number j has its score in ``column[j]``."""
    right = scores[np.arange(len(scores)), positions][:, np.newaxis]
    each = slice(None) if len(column) == scores.shape[1] else column
    return tuple(
        np.count_nonzero(comparison[:, each], axis=1) for comparison in (scores > right, scores == right)
    )


def _without_twins(gallery, bias):
    """Keep one of the photographs with the same row and bias; say for each which one was kept."""
    same_row = photograph_of_caption(len(gallery), y=gallery)
    if same_row[-1] == len(gallery) - 1:
        return gallery, bias, same_row
    column = photograph_of_caption(
        len(gallery), groups=same_row if bias is None else zip(same_row.tolist(), bias.tolist())
    )
    kept = np.unique(column, return_index=True)[1]
    return gallery[kept], None if bias is None else bias[kept], column


def _valid_positions(positions, n_queries, n_gallery):
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


def _valid_counts(n_better, n_tied):
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
    return n_better.astype(np.intp, copy=False), n_tied.astype(np.intp, copy=False)


def _harmonic_numbers(n):
    """Return H_0, H_1, ..., H_n."""
    return np.concatenate([[0.0], np.cumsum(1 / np.arange(1, n + 1))])
