"""Files that appear whole or not at all, have one writer at a time, and are read with distrust."""

import hashlib
import io
import math
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout

from txt2img._types import Array
from txt2img.exceptions import SavedFileError

LOCK = "manifest.json.lock"


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which the system takes back from a process that dies.

    Parameters
    ----------
    folder : Path
        It exists.

    Raises
    ------
    SavedFileError
        If another holds the lock.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise SavedFileError(
            f"path={os.fspath(folder)!r} is being changed by another process or thread: try again when it is "
            "done, or take another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


def write_whole(file: Path, write_to: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name, make sure it is on the disk, and give it its name."""
    temporary = file.with_name(f"{file.name}.{secrets.token_hex(4)}.part")
    try:
        with open(temporary, "wb") as stream:
            write_to(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
    except OSError as error:
        if error.errno and error.filename is None:  # as when the disk is full
            error.filename = os.fspath(file)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def sync_names(folder: Path) -> None:
    """Make sure that the names of the files in a folder are on the disk, where the system can tell."""
    if os.name == "posix":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def read_regular(file: Path) -> bytes:
    """Read all of a file that is one."""
    check_regular(file)
    return file.read_bytes()


def check_regular(file: Path) -> None:
    """Refuse what could be read for ever, such as a pipe."""
    if not stat.S_ISREG(file.stat().st_mode):
        raise SavedFileError(f"{file} is not a regular file")


def as_array(content: bytes) -> Array:
    """Make an array of the content of a ``.npy`` file, once its size is known to be what its head says."""
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("its head is of another version than 1.0")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if not is_number(dtype):
        raise ValueError(f"its type is {dtype}")
    if len(content) - stream.tell() != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"its size is not that of {dtype} in the shape {shape}")
    numbers = np.frombuffer(bytearray(content), dtype, offset=stream.tell())
    return numbers.reshape(shape, order="F" if is_fortran else "C")


def is_number(dtype: np.dtype[Any]) -> bool:
    """Say whether these are booleans, numbers or times."""
    return dtype.kind in "biufcmM"


def write_array(array: Array, stream: BinaryIO) -> None:
    """Write an array as a ``.npy`` file, without numpy's own way of writing, whose errors do not tell why."""
    np.lib.format.write_array(SimpleNamespace(write=stream.write), array, allow_pickle=False)


def digest_of_array(array: Array) -> str:
    """Compute the SHA-256 sum of the file that an array would be written to."""
    digest = hashlib.sha256()
    np.lib.format.write_array(SimpleNamespace(write=digest.update), array, allow_pickle=False)
    return digest.hexdigest()


def digest_of_file(file: Path) -> str:
    """Compute the SHA-256 sum of a file."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
