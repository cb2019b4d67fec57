"""Arrays that grow at their end without being copied each time."""

from __future__ import annotations

import numpy as np

from txt2img._types import Array


class GrowingArray:
    """An array with room at its end, so that adding row by row takes time in proportion to the rows.

    Parameters
    ----------
    values : ndarray of shape (n, ...)
        What it holds at first, not copied.
    """

    __slots__ = ("_room", "_size")

    def __init__(self, values: Array) -> None:
        self._room, self._size = _Room(values), len(values)

    @property
    def values(self) -> Array:
        """What it holds, as a view."""
        return self._room.array[: self._size]

    def fork(self) -> GrowingArray:
        """Give another that holds the same; what is put at the end of one, the other does not hold."""
        twin = object.__new__(GrowingArray)
        twin._room, twin._size = self._room, self._size
        return twin

    def append(self, values: Array) -> None:
        """Put values at the end; its type widens if theirs does not fit."""
        first, size = self._size, self._size + len(values)
        array = self._room.array
        dtype = np.result_type(array.dtype, values.dtype)
        # The room at the end is for the first of several forks that asks for it.
        if self._room.n_used != first or size > len(array) or dtype != array.dtype:
            array = np.empty((max(size, 2 * first), *array.shape[1:]), dtype)
            array[:first] = self.values
            self._room = _Room(array)
        self._room.n_used = size
        array[first:size] = values
        self._size = size

    def put(self, positions: Array, values: Array) -> None:
        """Put values in place of others, in all forks; its type widens if theirs does not fit."""
        dtype = np.result_type(self._room.array.dtype, values.dtype)
        if dtype != self._room.array.dtype:
            self._room = _Room(self.values.astype(dtype))
        self._room.array[positions] = values

    def __len__(self) -> int:
        return self._size

    def __getstate__(self) -> Array:
        return self.values.copy()

    def __setstate__(self, values: Array) -> None:
        self._room, self._size = _Room(values), len(values)


class _Room:
    """Memory that forks share, and how much of it any of them uses."""

    __slots__ = ("array", "n_used")

    def __init__(self, array: Array) -> None:
        self.array, self.n_used = array, len(array)
