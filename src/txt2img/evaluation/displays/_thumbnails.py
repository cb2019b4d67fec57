"""Photographs of any kind as thumbnails of one size."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from txt2img._optional import import_optional
from txt2img._types import Array, StrPath
from txt2img.exceptions import UnreadablePhotographError

if TYPE_CHECKING:
    from PIL.Image import Image

PAPER = "#ffffff"
MOUNT = "#f0f1f3"
# Pillow knows others, some of which start other programs.
FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "PNG", "TIFF", "WEBP")
FOCUS = (0.5, 0.35)  # heads are more often above the middle of a photograph than below it

Photograph: TypeAlias = "StrPath | Image | Array"


def thumbnail(image: Photograph, pixels: tuple[int, int], *, crop: bool) -> Array:
    """Return an upright RGB array of the size `pixels` (width, height), cropped or mounted on grey."""
    pil = import_optional("PIL.Image", extra="plot", purpose="A picture of photographs")
    ops = import_optional("PIL.ImageOps", extra="plot", purpose="A picture of photographs")
    if isinstance(image, (str, os.PathLike)):
        try:
            pil.init()
            with pil.open(image, formats=[each for each in FORMATS if each in pil.OPEN]) as file:
                return thumbnail(ops.exif_transpose(file), pixels, crop=crop)
        except Exception as error:  # a decoder may raise almost anything on a damaged file
            raise UnreadablePhotographError(f"cannot read the photograph {str(image)!r}: {error}") from error
    picture = image if isinstance(image, pil.Image) else pil.fromarray(_as_bytes(image))
    picture = picture.convert("RGBA")
    picture = pil.alpha_composite(pil.new("RGBA", picture.size, PAPER), picture).convert("RGB")
    if crop:
        picture = ops.fit(picture, pixels, pil.Resampling.LANCZOS, centering=FOCUS)
    else:
        picture = ops.pad(picture, pixels, pil.Resampling.LANCZOS, color=MOUNT)
    return np.asarray(picture)


def _as_bytes(image: object) -> Array:
    pixels = np.asarray(image)
    if pixels.dtype.kind == "f" and pixels.size and pixels.min() >= 0 and pixels.max() <= 1:
        pixels = np.round(255 * pixels).astype(np.uint8)
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise ValueError(
            f"an image is an array of shape {pixels.shape} and dtype {pixels.dtype}; "
            "it must be (height, width) or (height, width, 3 or 4), uint8 or floats between 0 and 1, "
            "or else a path or a PIL image"
        )
    return pixels
