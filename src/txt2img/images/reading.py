"""From a path, bytes, an array or a PIL image to an upright RGB photograph."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np

from txt2img._optional import import_optional
from txt2img._types import Array, Photograph, StrPath
from txt2img.exceptions import UnreadablePhotographError

if TYPE_CHECKING:
    from PIL import Image

PHOTOGRAPH_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif"),
        *(".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".png", ".tif", ".tiff", ".webp"),
    }
)
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP")
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"}


class FailedPhotograph(NamedTuple):
    """A photograph that could not be read.

    Parameters
    ----------
    row : int
        Where it stands among the photographs.
    path : str
        Its path, or kind and size if it is no file.
    reason : str
        What is wrong with it.

    Examples
    --------
    >>> from txt2img.images import FailedPhotograph
    >>> FailedPhotograph(3, "photos/0004.jpg", "the file is empty").reason
    'the file is empty'
    """

    row: int
    path: str
    reason: str


class KnownPhotograph(NamedTuple):
    """A photograph and the SHA-256 sum that its content has if it is a file; None if that is not known."""

    photograph: Photograph
    digest: bytes | None


def list_photographs(folder: StrPath, *, recursive: bool = True) -> list[str]:
    """List the photographs in a folder by their suffix, in any case, in a stable order.

    Links to folders are followed, after all that lies in the folder itself, and every folder is walked once:
    loops end, and a new link changes no path of before. What macOS leaves beside photographs (``._*``) is
    no photograph.

    Parameters
    ----------
    folder : str or path-like
        Folder to walk.
    recursive : bool, default=True
        Whether to walk the folders inside it too.

    Returns
    -------
    list of str
        Paths, sorted, each beginning with `folder`.

    Raises
    ------
    NotADirectoryError
        If `folder` is not a folder.
    ValueError
        If it holds no photograph.

    Warns
    -----
    UserWarning
        If folders inside it cannot be read. The others are listed all the same.

    Examples
    --------
    >>> import os, tempfile
    >>> from PIL import Image
    >>> from txt2img.images import list_photographs
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (8, 8)).save(os.path.join(folder, "cat.JPG"))
    ...     [os.path.basename(path) for path in list_photographs(folder)]
    ['cat.JPG']
    """
    folder = os.fspath(folder)
    if not os.path.isdir(folder):
        raise NotADirectoryError(f"folder={folder!r} is not a folder: pass one that holds photographs")
    errors: list[OSError] = []
    found = [
        os.path.join(parent, name)
        for parent, names in _walk(folder, recursive, errors.append)
        for name in names
        if Path(name).suffix.lower() in PHOTOGRAPH_SUFFIXES and not name.startswith("._")
    ]
    if errors:
        warnings.warn(
            f"{len(errors)} folders inside {folder!r} cannot be read and are left out. "
            f"The first: {errors[0].filename!r}: {errors[0].strerror}",
            UserWarning,
            stacklevel=2,
        )
    if not found:
        raise ValueError(
            f"folder={folder!r} holds no photograph: none of its files ends in "
            f"{', '.join(sorted(PHOTOGRAPH_SUFFIXES))}"
        )
    return sorted(found)


def read_photograph(photograph: Photograph, *, max_pixels: int) -> Image.Image:
    """Read one photograph as an upright RGB picture.

    JPEG, PNG, WebP, TIFF, GIF and BMP are told by their content, whatever the suffix says; HEIC and AVIF
    need the extra ``heif``. The orientation that the camera wrote down (EXIF) is applied, transparent pixels
    are laid on white, 16-bit greys are scaled to 8 bits, and of an animation the first frame is taken.

    Parameters
    ----------
    photograph : str, path-like, bytes, PIL.Image.Image or ndarray of uint8
        Path or content of a file, or pixels of shape (height, width), (height, width, 3) or
        (height, width, 4).
    max_pixels : int
        Larger photographs are refused before they are decoded. It takes the place of Pillow's own limit.

    Returns
    -------
    PIL.Image.Image
        In mode RGB.

    Raises
    ------
    UnreadablePhotographError
        If it is missing, damaged, too large, or not a photograph. The message names it and the reason.

    Examples
    --------
    >>> import numpy as np
    >>> from txt2img.images import read_photograph
    >>> grey = np.full((48, 64), 127, dtype=np.uint8)
    >>> photograph = read_photograph(grey, max_pixels=10_000)
    >>> photograph.mode, photograph.size
    ('RGB', (64, 48))
    """
    with quiet_pillow():
        try:
            return decode_photograph(photograph, max_pixels=max_pixels)
        except UnreadablePhotographError as error:
            raise UnreadablePhotographError(f"{describe_source(photograph)}: {error}") from error


def decode_photograph(
    photograph: Photograph | KnownPhotograph, *, max_pixels: int, min_side: int | None = None
) -> Image.Image:
    """Do what `read_photograph` does, with an error that tells the reason only, and Pillow's warnings.

    A JPEG whose sides are a multiple of `min_side` is decoded at 1/2, 1/4 or 1/8 of its size, no smaller than
    that, which is a good deal quicker.
    """
    from PIL import Image

    photograph, digest = photograph if isinstance(photograph, KnownPhotograph) else (photograph, None)
    try:
        if isinstance(photograph, Image.Image):
            image = photograph
        elif isinstance(photograph, np.ndarray):
            image = _image_of_pixels(photograph)
        elif isinstance(photograph, bytes | bytearray | memoryview):
            image = _open(bytes(photograph))
        elif isinstance(photograph, str | os.PathLike):
            content = read_file(photograph, max_pixels=max_pixels)
            if digest is not None and hashlib.sha256(content).digest() != digest:
                raise ValueError("it was changed while it was being read")
            image = _open(content)
        else:
            raise TypeError("it is not a path, bytes, a PIL image or an array of uint8")
        is_ours = image is not photograph
        with image if is_ours else nullcontext():
            if image.width * image.height > max_pixels:
                raise ValueError(
                    f"its {image.width} x {image.height} pixels are more than max_pixels={max_pixels}"
                )
            if min_side is not None and is_ours and image.format in ("JPEG", "MPO"):
                image.draft(None, (min_side, min_side))
            image.load()
            return _as_rgb(_upright(image, in_place=is_ours))
    except Exception as error:  # a decoder may raise almost anything on a damaged file
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UnreadablePhotographError(reason) from error


def read_file(path: StrPath, *, max_pixels: int) -> bytes:
    """Read the content of a file that may be a photograph; what could block or fill the memory is refused."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file")
    if status.st_size > 16 * max_pixels + 2**26:  # 16 bytes a pixel and 64 MiB about them
        raise ValueError(
            f"its {status.st_size} bytes are more than a photograph of max_pixels={max_pixels} can need"
        )
    with open(path, "rb") as stream:
        return stream.read()


def name_source(photograph: Photograph) -> str:
    """Name a photograph: its path, or its kind and size."""
    if isinstance(photograph, str | os.PathLike):
        return os.fspath(photograph)
    if isinstance(photograph, bytes | bytearray | memoryview):
        return f"<{len(photograph)} bytes>"
    if isinstance(photograph, np.ndarray):
        return f"<array of shape {photograph.shape}, dtype {photograph.dtype}>"
    return f"<{type(photograph).__name__}>"


def describe_source(photograph: Photograph) -> str:
    """Name a photograph in a message."""
    name = name_source(photograph)
    return repr(name) if isinstance(photograph, str | os.PathLike) else name


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings of odd metadata and of its own limit of pixels, in all threads."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\.")
        yield


def _walk(
    folder: str, recursive: bool, onerror: Callable[[OSError], object]
) -> Iterator[tuple[str, list[str]]]:
    """Yield (folder, names of files) for every folder once; links to folders come last."""
    seen, waiting = set(), [folder]
    for start in waiting:
        for parent, folders, names in os.walk(start, onerror=onerror):
            status = os.stat(parent)
            if (status.st_dev, status.st_ino) in seen:
                folders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            yield parent, names
            if not recursive:
                return
            folders.sort()
            waiting += filter(os.path.islink, (os.path.join(parent, name) for name in folders))


def _open(content: bytes) -> Image.Image:
    """Open the content of a file with the one decoder of Pillow's that its first bytes ask for.

    ``Image.open`` would try all of them, some of which start other programs, and has a limit of its own.
    """
    from PIL import Image

    stream = io.BytesIO(content)
    if content[4:8] == b"ftyp":
        return _heif_decoder(content)(stream, "")
    Image.init()
    for factory, accept in (Image.OPEN[name] for name in _FORMATS):
        accepted = accept and accept(content[:16])
        if isinstance(accepted, str):  # why this Pillow cannot read it
            raise ValueError(accepted)
        if accepted:
            return factory(stream, "")
    if not content:
        raise ValueError("the file is empty")
    raise ValueError(f"it is not a photograph in any of the formats {', '.join(_FORMATS)}, HEIC and AVIF")


def _heif_decoder(content: bytes) -> Callable[[IO[bytes], str], Image.Image]:
    from PIL import Image, features

    length = int.from_bytes(content[:4], "big")
    brands = {content[start : start + 4] for start in range(8, min(length, 256), 4)}
    if brands & {b"avif", b"avis"}:
        Image.init()
        if "AVIF" not in Image.OPEN or not features.check("avif"):
            raise ValueError('AVIF needs Pillow 11.3 or newer: pip install "txt2img[heif]"')
        return Image.OPEN["AVIF"][0]
    if brands & _HEIF_BRANDS:
        return import_optional("pillow_heif", extra="heif", purpose="HEIC").HeifImageFile
    raise ValueError("it is a film, not a photograph")


def _image_of_pixels(pixels: Array) -> Image.Image:
    from PIL import Image

    if (
        pixels.dtype != np.uint8
        or pixels.ndim not in (2, 3)
        or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4))
    ):
        raise TypeError(
            "pixels must be uint8 of shape (height, width), (height, width, 3) or (height, width, 4)"
        )
    return Image.fromarray(pixels)


def _upright(image: Image.Image, *, in_place: bool) -> Image.Image:
    from PIL import ImageOps

    try:
        if not in_place:
            return ImageOps.exif_transpose(image)
        ImageOps.exif_transpose(image, in_place=True)
        return image
    except Exception:  # damaged EXIF: the pixels are there, and nothing says how they were turned
        return image


def _as_rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode == "F" or (image.mode == "I" and np.any(np.asarray(image) >> 16)):
        raise ValueError("nothing tells how bright its numbers are meant: save it with 8 or 16 bits")
    if image.mode == "I" or image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")
