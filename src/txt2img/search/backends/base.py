"""Backend: what stores descriptors and finds those that score best."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, Self

import numpy as np

from txt2img._types import Array

# Bytes of descriptors taken out of their slots at a time.
BLOCK_BYTES = 2**25


class Found(NamedTuple):
    """What a backend finds, the best first.

    The score of a photograph is the inner product of query and descriptor plus its bias, of which each
    query gets its own share; or for the Euclidean metric the negative squared distance.
    """

    scores: Array  # (n_queries, k), float32
    slots: Array  # (n_queries, k), intp
    log_total: Array | None = None  # (n_queries,): log of the sum of exp(score / temperature)


class Backend(ABC):
    """Descriptors in numbered slots.

    `ImageIndex` numbers the slots from 0 in order of arrival, prepares descriptors for the metric, checks
    all input, and keeps ids and metadata; a backend knows rows of float32 and nothing else.

    Parameters
    ----------
    n_features : int
        Width of the descriptors.
    euclidean : bool
        Whether near is a small distance; if not, it is a large inner product.
    has_bias : bool
        Whether each descriptor comes with a number that is added to its scores.
    dtype : {"float32", "float16", "int8"}
        Type in which the numbers are kept.
    **params : object
        What a kind of backend takes beside.
    """

    # Whether removed descriptors are gone at once; if not, searches must be told which slots are empty.
    forgets = False
    euclidean: bool

    @property
    @abstractmethod
    def n_slots(self) -> int:
        """Number of slots, empty ones among them."""

    def fork(self) -> Self:
        """Give a backend that holds the same and may be added to, removed from and compacted.

        Until it takes the place of this one, this one finds what it found before, where descriptors are kept
        in this process.
        """
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    @abstractmethod
    def add(self, descriptors: Array, bias: Array | None) -> None:
        """Put descriptors (n, n_features), with their biases (n,) or None, into the next n slots."""

    @abstractmethod
    def update(self, slots: Array, descriptors: Array, bias: Array | None) -> None:
        """Put descriptors in place of others, in all forks."""

    @abstractmethod
    def remove(self, slots: Array) -> None:
        """Let go of descriptors. Slots keep their numbers."""

    @abstractmethod
    def compact(self, slots: Array) -> None:
        """Keep the descriptors in these slots, rising, alone; the first of them comes into slot 0."""

    @abstractmethod
    def search(
        self,
        queries: Array,
        k: int,
        *,
        share: Array | None = None,
        allowed: Array | None = None,
        temperature: float | None = None,
    ) -> Found:
        """Find the k best descriptors for each query.

        Parameters
        ----------
        queries : ndarray of shape (n_queries, n_features), dtype float32
            Prepared queries.
        k : int
            How many to find, at most as many as are allowed.
        share : ndarray of shape (n_queries,), dtype float32, default=None
            Part of the bias that each query gets; None for all of it.
        allowed : ndarray of shape (n_slots,), dtype bool, default=None
            Slots to look at; None for all.
        temperature : float, default=None
            If given, the log of the sum of exp(score / temperature) over all that is looked at is found too.

        Returns
        -------
        Found
            With the best first; of equal scores the lowest slot.
        """

    def scores_at(self, queries: Array, slots: Array, share: Array | None = None) -> Array:
        """Score for each query its own slots, (n_queries, k), each by itself: no other changes a last bit."""
        scores = np.empty(slots.shape, np.float32)
        step = max(1, BLOCK_BYTES // max(1, 4 * queries.shape[1] * slots.shape[1]))
        for start in range(0, len(queries), step):
            own = slice(start, start + step)
            rows = self.descriptors(slots[own].ravel()).reshape(*slots[own].shape, -1)
            if self.euclidean:
                rows = rows - queries[own, None]
                scores[own] = -np.einsum("qkd,qkd->qk", rows, rows)
                continue
            scores[own] = np.einsum("qd,qkd->qk", queries[own], rows)
            bias = self.bias(slots[own].ravel())
            if bias is not None:
                bias = bias.reshape(slots[own].shape)
                scores[own] += bias if share is None else share[own, None] * bias
        return scores

    @abstractmethod
    def descriptors(self, slots: Array | None = None) -> Array:
        """Give the descriptors in slots, by default all, as they are kept, in float32."""

    @abstractmethod
    def bias(self, slots: Array | None = None) -> Array | None:
        """Give the biases in slots, by default all, or None if there are none."""

    def lost(self, slots: Array) -> Array:
        """Give those of the slots in which nothing is any more, by a removal that was not saved."""
        return slots[:0]

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Give what is to be saved, a dict whose names end with an underscore."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Take in what was saved."""
