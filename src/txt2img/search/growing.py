"""Arrays that grow at their end without being copied each time."""

import numpy as np


class GrowingArray:
    """An array with room at its end, so that adding row by row takes time in proportion to the rows.

    Parameters
    ----------
    values : ndarray of shape (n, ...)
        What it holds at first, not copied.
    """

    __slots__ = ("_room", "_size")

    def __init__(self, values):
        self._room, self._size = values, len(values)

    @property
    def values(self):
        """What it holds, as a view."""
        return self._room[: self._size]

    def append(self, values):
        """Put values at the end; its type widens if theirs does not fit."""
        size = self._size + len(values)
        dtype = np.result_type(self._room.dtype, values.dtype)
        if size > len(self._room) or dtype != self._room.dtype:
            room = np.empty((max(size, 2 * self._size), *self._room.shape[1:]), dtype)
            room[: self._size] = self.values
            self._room = room
        self._room[self._size : size] = values
        self._size = size

    def put(self, positions, values):
        """Put values in place of others; its type widens if theirs does not fit."""
        dtype = np.result_type(self._room.dtype, values.dtype)
        if dtype != self._room.dtype:
            self._room = self.values.astype(dtype)
        self._room[positions] = values

    def truncate(self, size):
        """Take back what was put at the end last."""
        self._size = size

    def __len__(self):
        return self._size

    def __getstate__(self):
        return self.values.copy()

    def __setstate__(self, values):
        self.__init__(values)
