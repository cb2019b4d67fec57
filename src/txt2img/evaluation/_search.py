"""The search of an evaluation: who asks, among what, and what is right."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import joblib
import numpy as np
from scipy.sparse import csr_array

from txt2img._top_k import top_k
from txt2img._types import Array
from txt2img.evaluation._blocks import score_blocks, valid_factors
from txt2img.evaluation.hubness import k_occurrence, k_occurrence_skewness
from txt2img.evaluation.ranks import count_better_and_tied

# Hubs are counted among the first ten.
HUBNESS_K = 10
# So many stay in a core's cache while they are looked at several times.
SCORES_AT_A_TIME = 2**18


class Index(Protocol):
    """What an evaluation asks of the photographs searched, such as an `ImageIndex`."""

    @property
    def ids_(self) -> Iterable[Hashable]: ...

    def score_factors(self, queries: Array, /) -> tuple[Array, Array, Array | None]: ...


class Task(NamedTuple):
    """Queries, candidates, and which candidates are right for which query.

    `right` is a sparse matrix of shape (n_queries, n_candidates); `photograph_of_query` and
    `photograph_of_candidate` are rows of the index; `numbers` tell the candidates in the whole task.
    """

    queries: Array
    candidates: Array
    bias: Array | None
    is_corrected: bool
    right: csr_array
    photograph_of_query: Array
    photograph_of_candidate: Array
    numbers: Array

    def folds(self, n_folds: int | None, n_photographs: int) -> Iterator[tuple[Array, Task]]:
        """Part the photographs in their order; yield the queries and the part of the task of each fold."""
        if n_folds is None:
            yield np.arange(len(self.queries)), self
            return
        fold = np.arange(n_photographs) * n_folds // n_photographs
        for number in range(n_folds):
            asked = np.flatnonzero(fold[self.photograph_of_query] == number)
            searched = np.flatnonzero(fold[self.photograph_of_candidate] == number)
            if len(asked):
                yield asked, self._part(asked, searched)

    def _part(self, asked: Array, searched: Array) -> Task:
        return Task(
            self.queries[asked],
            self.candidates[searched],
            None if self.bias is None else self.bias[searched],
            self.is_corrected,
            self.right[asked][:, searched],
            self.photograph_of_query[asked],
            self.photograph_of_candidate[searched],
            self.numbers[searched],
        )


class Found(NamedTuple):
    """Counts of each query, as in `first_relevant`, and the numbers and scores of its first candidates."""

    n_better: Array
    n_tied: Array
    n_right: Array
    hits: Array
    scores: Array
    hubness: float
    hubness_uncorrected: float | None


def captions_ask(predicted: Array, index: Index, positions: Array) -> Task:
    """Search photographs by captions, of which each has one right photograph."""
    queries, gallery, bias = valid_factors(*index.score_factors(predicted))
    everywhere = np.arange(len(gallery))
    right = csr_array(
        (np.ones(len(positions), bool), positions, np.arange(len(positions) + 1)),
        shape=(len(positions), len(gallery)),
    )
    is_corrected = getattr(index, "bias_", None) is not None
    return Task(queries, gallery, bias, is_corrected, right, positions, everywhere, everywhere)


def photographs_ask(predicted: Array, index: Index, positions: Array) -> Task:
    """Search captions by photographs, those that have captions."""
    candidates, gallery, _ = valid_factors(*index.score_factors(predicted))
    asked, row = np.unique(positions, return_inverse=True)
    numbers = np.arange(len(positions))
    right = csr_array((np.ones(len(positions), bool), (row, numbers)), shape=(len(asked), len(positions)))
    bias = None
    if getattr(index, "metric", None) == "euclidean":
        # The factors leave out the length of a query, which is the same for all photographs.
        bias = -np.einsum("ij,ij->i", candidates, candidates) / 4
    return Task(gallery[asked], candidates, bias, False, right, asked, positions, numbers)


def search(task: Task, n_hits: int) -> Found:
    """Find for each query the position of the best right candidate, and the first of all."""
    n_queries, n_candidates = task.right.shape
    n_first = min(max(n_hits, HUBNESS_K), n_candidates)
    n_better, n_tied, n_right = np.empty((3, n_queries), np.intp)
    first = np.empty((n_queries, n_first), np.intp)
    scores_of_first = np.empty((n_queries, n_first), task.candidates.dtype)

    def read(start: int, scores: Array) -> None:
        """Read scores of consecutive queries."""
        rows = slice(start, start + len(scores))
        scores_of_first[rows], first[rows] = top_k(scores, n_first)
        right = task.right[rows]
        row, starts = np.repeat(np.arange(len(scores)), np.diff(right.indptr)), right.indptr[:-1]
        scores_of_right = scores[row, right.indices]
        best = np.maximum.reduceat(scores_of_right, starts)
        n_right[rows] = np.add.reduceat(scores_of_right == best[row], starts, dtype=np.intp)
        n_better[rows], n_tied[rows] = count_better_and_tied(scores, best)

    step = max(1, SCORES_AT_A_TIME // n_candidates)
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        for block, scores in score_blocks(task.queries, task.candidates, task.bias):
            starts = range(0, len(scores), step)
            list(pool.map(read, (block.start + i for i in starts), (scores[i : i + step] for i in starts)))
    spread = np.linspace(0, n_queries - 1, min(n_queries, n_candidates)).astype(np.intp)
    k = min(HUBNESS_K, n_candidates)
    hubness = k_occurrence_skewness(np.bincount(first[spread, :k].ravel(), minlength=n_candidates))
    uncorrected = None
    if task.is_corrected:
        uncorrected = k_occurrence_skewness(k_occurrence(task.queries[spread], task.candidates, k))
    hits = task.numbers[first[:, :n_hits]]
    return Found(n_better, n_tied, n_right, hits, scores_of_first[:, :n_hits], hubness, uncorrected)
