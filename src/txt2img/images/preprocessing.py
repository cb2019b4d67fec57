"""What a photograph undergoes before the network: framing, resizing, cutting."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from txt2img._types import Array

if TYPE_CHECKING:
    from PIL import Image

N_SQUARES = {"center": 1, "whole": 1, "corners": 4}


@dataclass(frozen=True)
class Preprocessing:
    """What a photograph undergoes before the network.

    Parameters
    ----------
    resize : int
        Length to which the shorter side is brought, in pixels.
    crop : int
        Side of the square that the network sees, in pixels.
    mean, std : tuple of 3 floats
        Subtracted from and divided into the red, green and blue values, on a scale from 0 to 1.
    interpolation : {"bilinear", "bicubic"}
        How Pillow resamples.
    framing : tuple of {"center", "whole", "corners"}, default=("center",)
        Which squares are taken.
    mirrored : bool, default=False
        Whether each square is followed by its mirror image.
    """

    resize: int = 256
    crop: int = 224
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"
    framing: tuple[str, ...] = ("center",)
    mirrored: bool = False

    @property
    def n_views(self) -> int:
        """Number of squares and mirror images in which a photograph is seen."""
        return sum(N_SQUARES[view] for view in self.framing) * (1 + self.mirrored)

    @property
    def min_side(self) -> int:
        """Side in pixels below which a photograph must not be shrunk while it is decoded.

        Twice the side that it is resized to, so that the resampling filter still sees what it needs.
        """
        return 2 * max(self.resize, self.crop)

    def at(self, resolution: int) -> Self:
        """Return the same for squares of another side, with `resize` in proportion."""
        return replace(self, resize=round(self.resize * resolution / self.crop), crop=resolution)

    def __call__(self, image: Image.Image) -> Array:
        """Turn an RGB picture into pixels of shape (n_views, crop, crop, 3), dtype uint8."""
        squares: list[Array] = []
        for view in self.framing:
            squares += [self._squeezed(image)] if view == "whole" else self._cut(image, view)
        if self.mirrored:
            squares = [side for square in squares for side in (square, square[:, ::-1])]
        return np.stack(squares)

    @property
    def _resample(self) -> Image.Resampling:
        from PIL import Image

        return Image.Resampling[self.interpolation.upper()]

    def _squeezed(self, image: Image.Image) -> Array:
        return np.asarray(image.resize((self.crop, self.crop), self._resample))

    def _cut(self, image: Image.Image, view: str) -> list[Array]:
        width, height = image.size
        if width <= height:
            size = self.resize, int(self.resize * height / width)
        else:
            size = int(self.resize * width / height), self.resize
        right, bottom = size[0] - self.crop, size[1] - self.crop
        if view == "center":
            corners = [(round(right / 2), round(bottom / 2))]
        else:
            corners = [(0, 0), (right, 0), (0, bottom), (right, bottom)]
        image = image.resize(size, self._resample)
        return [np.asarray(image.crop((x, y, x + self.crop, y + self.crop))) for x, y in corners]
