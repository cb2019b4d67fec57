"""Where descriptors go while they are computed: into the memory, or into a file."""

import errno
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

import numpy as np

from txt2img._types import Array, StrPath

_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))


class MemoryOutput:
    """Descriptors in an array.

    Parameters
    ----------
    n_rows : int
        Number of photographs.
    """

    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows
        self.array = np.empty((n_rows, 0), np.float32)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def write(self, rows: Sequence[int] | Array, descriptors: Array) -> None:
        """Put descriptors into rows; the first ones tell how wide all are."""
        if not self.array.shape[1]:
            self.array = np.full((self.n_rows, descriptors.shape[1]), np.nan, np.float32)
        self.array[rows] = descriptors

    def finish(self) -> Array:
        """Return the array; rows that were not written are NaN."""
        return self.array


class FileOutput:
    """Descriptors in a ``.npy`` file, which has its name only when it is complete.

    It is written, not mapped, so that its pages do not count as memory of the process.

    Parameters
    ----------
    n_rows : int
        Number of photographs.
    path : str or path-like
        The file; what was there before is replaced.
    """

    def __init__(self, n_rows: int, path: StrPath) -> None:
        self.n_rows = n_rows
        self.path = os.fspath(path)
        self.temporary = f"{self.path}.{secrets.token_hex(4)}.part"
        self.missing = np.ones(n_rows, bool)
        self.width = self.start = 0

    def __enter__(self) -> Self:
        self.file = open(self.temporary, "xb")
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            with suppress(OSError):  # what cannot be written has been told, or is not missed
                self.file.close()
        finally:
            with suppress(FileNotFoundError):
                os.unlink(self.temporary)
        if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
            error.filename = self.path

    def write(self, rows: Sequence[int] | Array, descriptors: Array) -> None:
        """Put descriptors into rows; the first ones tell how wide all are."""
        rows, descriptors = np.asarray(rows), np.asarray(descriptors, "<f4")
        if not self.start:
            self.width = descriptors.shape[1]
            head = {"descr": "<f4", "fortran_order": False, "shape": (self.n_rows, self.width)}
            np.lib.format.write_array_header_1_0(self.file, head)
            self.start = self.file.tell()
        self.missing[rows] = False
        order = np.argsort(rows)
        rows, descriptors = rows[order], descriptors[order]
        for run in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(rows) != 1) + 1):
            self.file.seek(self.start + int(rows[run[0]]) * self.width * 4)
            self.file.write(descriptors[run].tobytes())

    def finish(self) -> Array:
        """Fill the other rows with NaN, give the file its name, and return it as a memory map."""
        for row in np.flatnonzero(self.missing).tolist():
            self.write([row], np.full((1, self.width), np.nan))
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        os.replace(self.temporary, self.path)
        return np.load(self.path, mmap_mode="r")
