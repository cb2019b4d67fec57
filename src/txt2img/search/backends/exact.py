"""Exact search: every photograph is compared, in blocks that bound the memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from txt2img._top_k import top_k
from txt2img._types import Array
from txt2img.search.backends.base import Backend, Found
from txt2img.search.growing import GrowingArray

# Bytes of descriptors turned into single precision, and of scores, at a time.
ROW_BYTES = 2**25
SCORE_BYTES = 2**27
# Queries whose scores with a block of descriptors are to fit in that at once.
QUERIES_AT_ONCE = 1024
# Below this share of allowed photographs it is quicker to copy them out than to score all.
FEW_ALLOWED = 0.5
# The bits of a number in half precision, read as single precision, are worth 2**-112 of it. Most of that is
# given to the queries, the rest to the scores, so that neither leaves the range of single precision.
HALF_TO_QUERIES, HALF_TO_SCORES = np.float32(2.0**96), np.float32(2.0**16)
NUMBERS_IN_CACHE = 2**18


class ExactBackend(Backend):
    """Rows in one array as they came at first, and those added later in another, which grows.

    The first array may lie on disk: it is read block by block. Of numbers in half precision or whole numbers
    a block is turned into single precision before the product. Whole numbers have a scale for each row, so
    that the greatest of a row becomes 127.
    """

    _scale: GrowingArray | None
    _offset: GrowingArray | None

    def __init__(
        self, n_features: int, *, euclidean: bool = False, has_bias: bool = False, dtype: str = "float32"
    ) -> None:
        self.n_features, self.euclidean, self.has_bias = n_features, euclidean, has_bias
        self.dtype = np.dtype(dtype)
        no_bias = np.empty(0, np.float32) if has_bias else None
        self._fill(*self._stored(np.empty((0, n_features), np.float32), no_bias))

    @property
    def n_slots(self) -> int:
        """See `Backend`."""
        return len(self._first) + len(self._later)

    def fork(self) -> Self:
        """See `Backend`."""
        twin = super().fork()
        twin._later = self._later.fork()
        columns = (self._scale, self._offset)
        twin._scale, twin._offset = (None if each is None else each.fork() for each in columns)
        return twin

    def add(self, descriptors: Array, bias: Array | None) -> None:
        """See `Backend`."""
        rows, scale, offset = self._stored(descriptors, bias)
        if not self.n_slots:
            self._fill(rows, scale, offset)
            return
        self._later.append(rows)
        for column, values in ((self._scale, scale), (self._offset, offset)):
            if column is not None and values is not None:
                column.append(values)

    def update(self, slots: Array, descriptors: Array, bias: Array | None) -> None:
        """See `Backend`."""
        before = (self._rows_at(slots), _values(self._scale, slots), _values(self._offset, slots))
        try:
            self._put(slots, *self._stored(descriptors, bias))
        except BaseException:
            self._put(slots, *before)
            raise

    def remove(self, slots: Array) -> None:
        """See `Backend`."""

    def compact(self, slots: Array) -> None:
        """See `Backend`."""
        self._fill(self._rows_at(slots), _values(self._scale, slots), _values(self._offset, slots))

    def search(
        self,
        queries: Array,
        k: int,
        *,
        share: Array | None = None,
        allowed: Array | None = None,
        temperature: float | None = None,
    ) -> Found:
        """See `Backend`."""
        best, slots = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.intp)
        log_total = None if temperature is None else np.full(len(queries), -np.inf)
        if not len(queries):
            return Found(np.empty((0, k), np.float32), np.empty((0, k), np.intp), log_total)
        factor = (2 if self.euclidean else 1) * (HALF_TO_QUERIES if self.dtype == np.float16 else 1)
        scaled = queries if factor == 1 else queries * np.float32(factor)
        room = _Room()
        for block_slots, block in self._blocks(len(queries), allowed):
            in_block = [
                self._search_block(
                    scaled[own], k, block_slots, block, _part(share, own), allowed, temperature, room
                )
                for own in _slices(len(queries), SCORE_BYTES // (4 * len(block)))
            ]
            found, found_slots, totals = in_block[0] if len(in_block) == 1 else _stacked(in_block)
            if log_total is not None and totals is not None:
                log_total = np.logaddexp(log_total, totals)
            if not best.shape[1]:
                best, slots = found, found_slots
                continue
            # Of equal scores those of earlier blocks stay ahead.
            best, slots = np.hstack([best, found]), np.hstack([slots, found_slots])
            best, kept = top_k(best, min(k, best.shape[1]))
            slots = np.take_along_axis(slots, kept, axis=1)
        if self.euclidean:
            squares = np.einsum("qd,qd->q", queries, queries)
            best = best - squares[:, None]
            if log_total is not None and temperature is not None:
                log_total = log_total - squares / temperature
        return Found(best, slots, log_total)

    def descriptors(self, slots: Array | None = None) -> Array:
        """See `Backend`."""
        if slots is not None:
            rows = self._rows_at(slots)
        else:
            rows = np.concatenate([self._first, self._later.values]) if len(self._later) else self._first
        rows, scale = rows.astype(np.float32, copy=False), _values(self._scale, slots)
        return rows if scale is None else rows * scale[:, None]

    def bias(self, slots: Array | None = None) -> Array | None:
        """See `Backend`."""
        return _values(self._offset, slots) if self.has_bias else None

    def state(self) -> dict[str, Any]:
        """See `Backend`."""
        scale, offset = _values(self._scale), _values(self._offset)
        return {"first_": self._first, "later_": self._later.values, "scale_": scale, "offset_": offset}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Backend`."""
        parts, columns = (state["first_"], state["later_"]), (state["scale_"], state["offset_"])
        if any(p.shape != (len(p), self.n_features) or p.dtype != self.dtype for p in parts):
            raise ValueError("descriptors are of another width or type than those of the index")
        wanted = (self._scale is not None, self._offset is not None)
        n_slots = sum(map(len, parts))
        for column, is_wanted in zip(columns, wanted):
            if is_wanted and (column.shape != (n_slots,) or column.dtype != np.float32):
                raise ValueError("scale or bias is not one number for each descriptor")
        self._fill(parts[0], *(column if each else None for column, each in zip(columns, wanted)))
        self._later = GrowingArray(parts[1])

    def _stored(self, descriptors: Array, bias: Array | None) -> tuple[Array, Array | None, Array | None]:
        """Turn descriptors into rows as they are kept, their scale, and what is added to their scores."""
        scale, rows = None, descriptors
        if self.dtype == np.int8:
            scale = np.abs(descriptors).max(axis=1, initial=0) / np.float32(127)
            scale[scale == 0] = 1
            rows = np.rint(descriptors / scale[:, None]).astype(np.int8)
        elif self.dtype == np.float16:
            rows = descriptors.astype(np.float16)
        if not self.euclidean:
            return rows, scale, bias
        kept = rows.astype(np.float32) if scale is None else rows * scale[:, None]
        return rows, scale, -np.einsum("ij,ij->i", kept, kept)

    def _put(self, slots: Array, rows: Array, scale: Array | None, offset: Array | None) -> None:
        first = slots < len(self._first)
        self._first[slots[first]] = rows[first]
        self._later.put(slots[~first] - len(self._first), rows[~first])
        for column, values in ((self._scale, scale), (self._offset, offset)):
            if column is not None and values is not None:
                column.put(slots, values)

    def _fill(self, rows: Array, scale: Array | None, offset: Array | None) -> None:
        self._first, self._later = rows, GrowingArray(rows[:0])
        self._scale = None if scale is None else GrowingArray(scale)
        self._offset = None if offset is None else GrowingArray(offset)

    def _rows_at(self, slots: Array) -> Array:
        n_first = len(self._first)
        if not len(self._later):
            return self._first[slots]
        rows, first = np.empty((len(slots), self.n_features), self.dtype), slots < n_first
        rows[first] = self._first[slots[first]]
        rows[~first] = self._later.values[slots[~first] - n_first]
        return rows

    def _blocks(self, n_queries: int, allowed: Array | None) -> Iterator[tuple[slice | Array, Array]]:
        """Yield the slots of a block, a slice or, if few are allowed, an array, and its rows as factors."""
        if self.dtype == np.float32:
            n_rows = SCORE_BYTES // (4 * min(max(1, n_queries), QUERIES_AT_ONCE))
        else:
            n_rows = ROW_BYTES // (4 * self.n_features)
        for offset, rows in ((0, self._first), (len(self._first), self._later.values)):
            for own in _slices(len(rows), n_rows):
                block, slots = rows[own], slice(own.start + offset, own.stop + offset)
                if allowed is not None:
                    n_allowed = np.count_nonzero(allowed[slots])
                    if not n_allowed:
                        continue
                    if n_allowed < FEW_ALLOWED * len(block):
                        chosen = np.flatnonzero(allowed[slots])
                        block, slots = block[chosen], chosen + slots.start
                yield slots, _as_factors(block)

    def _search_block(
        self,
        queries: Array,
        k: int,
        slots: slice | Array,
        block: Array,
        share: Array | None,
        allowed: Array | None,
        temperature: float | None,
        room: _Room,
    ) -> tuple[Array, Array, Array | None]:
        scores = np.matmul(queries, block.T, out=room.of(len(queries), len(block)))
        if self._scale is not None:
            scores *= self._scale.values[slots]
        elif self.dtype == np.float16:
            scores *= HALF_TO_SCORES
        if self._offset is not None:
            offset = self._offset.values[slots]
            scores += offset if share is None else share[:, None] * offset
        if allowed is not None and isinstance(slots, slice):
            scores[:, ~allowed[slots]] = -np.inf
        total = None if temperature is None else _log_total(scores, np.float32(temperature))
        best, rows = top_k(scores, min(k, len(block)))
        return best, rows + slots.start if isinstance(slots, slice) else slots[rows], total


class _Room:
    """Memory for the scores of one block after another: the system takes long to hand out new one."""

    def __init__(self) -> None:
        self.numbers = np.empty(0, np.float32)

    def of(self, n_rows: int, n_columns: int) -> Array:
        """Give room for an array, over what was given before."""
        if self.numbers.size < n_rows * n_columns:
            self.numbers = np.empty(n_rows * n_columns, np.float32)
        return self.numbers[: n_rows * n_columns].reshape(n_rows, n_columns)


def _values(column: GrowingArray | None, slots: Array | None = None) -> Array | None:
    """Give the numbers of a column in slots, by default all; None if there is no column."""
    return None if column is None else column.values[slice(None) if slots is None else slots]


def _log_total(scores: Array, temperature: np.float32) -> Array:
    """Compute log(sum(exp(score / temperature))); scipy's takes longer than the search for one query."""
    greatest = scores.max(axis=1, keepdims=True)
    greatest[greatest == -np.inf] = 0
    with np.errstate(divide="ignore"):
        return np.log(np.exp((scores - greatest) / temperature).sum(axis=1)) + greatest[:, 0] / temperature


def _slices(n: int, step: int) -> list[slice]:
    """Cut n into slices of at most `step`."""
    step = max(1, step)
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def _stacked(in_block: list[tuple[Array, Array, Array | None]]) -> tuple[Array, Array, Array | None]:
    found, slots, totals = zip(*in_block)
    return np.vstack(found), np.vstack(slots), None if totals[0] is None else np.concatenate(totals)


def _part(share: Array | None, own: slice) -> Array | None:
    return None if share is None else share[own]


def _as_factors(block: Array) -> Array:
    """Turn rows into single precision; those of half precision come out 2**-112 of what they are.

    numpy turns half into single precision number by number. This moves the bits of many at once: sign,
    exponent and mantissa in their order, the sign drawn apart.
    """
    if block.dtype == np.float32:
        return block
    if block.dtype == np.int8:
        return block.astype(np.float32)
    numbers = np.empty(block.shape, np.float32)
    bits, halves = numbers.view(np.int32).reshape(-1), block.view(np.int16).reshape(-1)
    for own in _slices(len(bits), NUMBERS_IN_CACHE):
        np.left_shift(halves[own], 13, out=bits[own], dtype=np.int32)
        np.bitwise_and(bits[own], np.int32(-0x70000001), out=bits[own])
    return numbers
