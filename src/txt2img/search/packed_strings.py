"""Strings in two arrays, so that a million of them are loaded in no time."""

from collections.abc import Iterable
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from txt2img._types import Array
from txt2img.exceptions import SavedFileError


class PackedStrings:
    """Strings end to end in UTF-8, each decoded when it is asked for.

    Parameters
    ----------
    content : ndarray of shape (n_bytes,), dtype uint8
        The bytes of all strings.
    ends : ndarray of shape (n_strings,), dtype int64
        Where each string ends.
    """

    def __init__(self, content: Array, ends: Array) -> None:
        if content.dtype != np.uint8 or ends.dtype != np.int64 or content.ndim != 1 or ends.ndim != 1:
            raise SavedFileError("strings are not saved as bytes and ends")
        if len(content) != (ends[-1] if len(ends) else 0):
            raise SavedFileError("the bytes of saved strings do not end where the last string does")
        self.content, self.ends = content, ends

    @classmethod
    def pack(cls, strings: Iterable[str]) -> Self:
        """Put strings end to end; a surrogate by itself, as in the name of a file, is kept."""
        encoded = [string.encode("utf-8", "surrogatepass") for string in strings]
        ends = np.cumsum([len(each) for each in encoded], dtype=np.int64)
        return cls(np.frombuffer(bytearray(b"".join(encoded)), np.uint8), ends)

    def take(self, positions: ArrayLike) -> Array:
        """Decode the strings at positions, an array of any shape, into an array of objects."""
        positions = np.asarray(positions)
        strings = np.empty(positions.size, object)
        for i, position in enumerate(positions.ravel().tolist()):
            start = self.ends[position - 1] if position else 0
            try:
                strings[i] = str(
                    self.content[start : self.ends[position]].tobytes(), "utf-8", "surrogatepass"
                )
            except UnicodeDecodeError as error:
                raise SavedFileError(f"saved string {position} is damaged: {error}") from error
        return strings.reshape(positions.shape)

    def unpack(self) -> Array:
        """Decode all strings into an array of objects."""
        return self.take(np.arange(len(self)))

    def __len__(self) -> int:
        return len(self.ends)
