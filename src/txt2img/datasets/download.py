"""Downloads that go on where they were cut off, and are compared with their checksums."""

import errno
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from txt2img._types import StrPath
from txt2img.exceptions import DownloadError

CHUNK = 2**18
TIMEOUT = 30  # seconds without a byte
N_TRIES = 5
_OF_THE_DISK = (errno.EACCES, errno.EFBIG, errno.ENOSPC, errno.EPERM, errno.EROFS)
PAUSE = 1  # second after the first failure, twice as long after each further one


def download(
    url: str,
    file: StrPath,
    *,
    md5: str | None = None,
    show: Callable[[int, int | None], object] | None = None,
) -> None:
    """Download a file, unless it is there already.

    What has come is kept in ``FILE.part`` until all has, so that a later call goes on from there, if the
    server sends parts of files.

    Parameters
    ----------
    url : str
        Address, of ``http`` or ``https``.
    file : str or path-like
        Where to save it. The file appears complete or not at all.
    md5 : str, default=None
        Sum that the content must have, in hexadecimal digits.
    show : callable, default=None
        Called with the number of bytes that are there, and the number of all, or None if the server does not
        tell.

    Raises
    ------
    DownloadError
        If the server cannot be reached or breaks off too often, refuses, or sends something else than what
        `md5` says.

    Examples
    --------
    >>> from txt2img.datasets.download import download
    >>> download("http://images.cocodataset.org/val2017/000000039769.jpg", "cats.jpg")  # doctest: +SKIP
    """
    file = Path(file)
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    before = -1
    failures = 0
    while True:
        try:
            _download_rest(url, part, show)
            break
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise _failure(url, file, f"the server answers {error.code} {error.reason}") from error
            reason: Exception = error
        except (OSError, http.client.HTTPException) as error:
            if getattr(error, "errno", None) in _OF_THE_DISK:
                raise _failure(url, file, str(error)) from error
            reason = error
        there = part.stat().st_size if part.exists() else 0
        failures = failures + 1 if there <= before else 1  # what brings new bytes is no failure
        before = max(before, there)
        if failures == N_TRIES:
            raise _failure(url, file, str(reason) or type(reason).__name__) from reason
        time.sleep(PAUSE * 2 ** (failures - 1))
    if md5 is not None and (found := _md5(part)) != md5:
        part.unlink()
        raise _failure(url, file, f"its MD5 sum is {found}, and should be {md5}")
    part.replace(file)


def _download_rest(url: str, part: Path, show: Callable[[int, int | None], object] | None) -> None:
    """Add what is missing to a file of which a part is there; raise if the connection ends before it does."""
    there = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "txt2img"})
    if there:
        request.add_header("Range", f"bytes={there}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        if error.headers.get("Content-Range") == f"bytes */{there}":
            return  # all of it was there
        part.unlink()  # of another file, of which there was less
        raise ConnectionError("the file has changed on the server") from error
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            there = 0  # the server begins again
        length = response.headers.get("Content-Length")
        total = None if length is None else there + int(length)
        with open(part, "ab" if there else "wb") as stream:
            while chunk := response.read(CHUNK):
                stream.write(chunk)
                there += len(chunk)
                if show:
                    show(there, total)
    if total is not None and there < total:
        raise ConnectionError(f"the connection ended after {there:,} of {total:,} bytes")


def _md5(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _failure(url: str, file: Path, reason: str) -> DownloadError:
    return DownloadError(
        f"{url} could not be downloaded: {reason}. Try again, and it goes on where it was; or put the file, "
        f"had from elsewhere, at {os.fspath(file)}"
    )
