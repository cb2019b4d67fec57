"""From a path, bytes, an array or a PIL image to an upright RGB photograph."""

import io
import os
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from txt2img.exceptions import UnreadablePhotographError

PHOTOGRAPH_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def list_photographs(folder, *, recursive=True):
    """List the photographs in a folder by their suffix, in any case, in a stable order.

    Parameters
    ----------
    folder : str or path-like
        Folder to walk. Symbolic links to folders are not followed, so that a loop cannot arise.
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
    found = []
    for parent, folders, files in os.walk(folder):
        found += [os.path.join(parent, f) for f in files if Path(f).suffix.lower() in PHOTOGRAPH_SUFFIXES]
        if not recursive:
            folders.clear()
    if not found:
        raise ValueError(
            f"folder={folder!r} holds no photograph: none of its files ends in "
            f"{', '.join(sorted(PHOTOGRAPH_SUFFIXES))}"
        )
    return sorted(found)


def describe_source(photograph):
    """Name a photograph in a message: its path, or its kind and size."""
    if isinstance(photograph, str | os.PathLike):
        return repr(os.fspath(photograph))
    if isinstance(photograph, bytes | bytearray | memoryview):
        return f"<{len(photograph)} bytes>"
    if isinstance(photograph, np.ndarray):
        return f"<array of shape {photograph.shape}, dtype {photograph.dtype}>"
    return f"<{type(photograph).__name__}>"


def read_photograph(photograph, *, max_pixels):
    """Read one photograph as an upright RGB picture.

    The orientation that the camera wrote down (EXIF) is applied, transparent pixels are laid on white,
    16-bit greys are scaled to 8 bits, and of an animation the first frame is taken.

    Parameters
    ----------
    photograph : str, path-like, bytes, PIL.Image.Image or ndarray of uint8
        Path or content of a file, or pixels of shape (height, width), (height, width, 3) or
        (height, width, 4).
    max_pixels : int
        Larger photographs are refused before they are decoded.

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
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        if isinstance(photograph, Image.Image):
            image = photograph
        elif isinstance(photograph, np.ndarray):
            image = _image_of_pixels(photograph)
        elif isinstance(photograph, bytes | bytearray | memoryview):
            image = Image.open(io.BytesIO(photograph))
        elif isinstance(photograph, str | os.PathLike):
            image = Image.open(photograph)
        else:
            raise TypeError("it is not a path, bytes, a PIL image or an array of uint8")
        with nullcontext() if image is photograph else image:
            if image.width * image.height > max_pixels:
                raise ValueError(
                    f"its {image.width} x {image.height} pixels are more than max_pixels={max_pixels}"
                )
            return _as_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        reason = "the file is not a photograph that Pillow can read, or it is damaged"
        raise UnreadablePhotographError(f"{describe_source(photograph)}: {reason}") from error
    except Exception as error:  # a decoder may raise almost anything on a damaged file
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UnreadablePhotographError(f"{describe_source(photograph)}: {reason}") from error


def _image_of_pixels(pixels):
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


def _as_rgb(image):
    from PIL import Image

    if image.mode in ("I;16", "I;16L", "I;16B", "I;16N", "I"):
        image = Image.fromarray((np.clip(np.asarray(image), 0, 65535) >> 8).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")
