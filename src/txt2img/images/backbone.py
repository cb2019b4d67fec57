"""What a backbone does: prepare pictures, and describe them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from txt2img._types import Array
from txt2img.images.devices import choose_device, choose_precision
from txt2img.images.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch
    from PIL import Image


@dataclass(frozen=True)
class Backbone:
    """An image network cut before its last layer.

    Parameters
    ----------
    name : str
        Name, with the name of the weights where there are several.
    network : torch.nn.Module
        Maps normalised pictures (n, 3, side, side) to descriptors (n, n_features).
    preprocessing : Preprocessing
        What the pictures undergo first.
    n_features : int, default=None
        Width of the last layer, if known before running it.
    classifier : torch.nn.Module, default=None
        The last layer, which maps descriptors to the scores of the classes.
    class_names : tuple of str, default=()
        English names of the classes, in the order of the classifier's outputs.
    layers : tuple of str, default=("last",)
        As in `ImageFeaturizer`.
    pooling : tuple of str, default=("mean",)
        As in `ImageFeaturizer`.
    is_fixed : bool, default=True
        Whether the weights stay as they are, so that the network may be rewritten for speed, once a process.

    Examples
    --------
    >>> from PIL import Image
    >>> from txt2img.images import load_backbone
    >>> backbone = load_backbone("efficientnet_lite0")
    >>> prepared = backbone.prepare(Image.new("RGB", (640, 480)))
    >>> prepared.shape, [part.shape for part in backbone.describe([prepared], "cpu")]
    ((1, 224, 224, 3), [(1, 1280)])
    """

    name: str
    network: torch.nn.Module | Any = field(repr=False)  # of an ONNX file its path
    preprocessing: Preprocessing
    n_features: int | None = None
    classifier: torch.nn.Linear | torch.nn.Conv2d | None = field(default=None, repr=False)
    class_names: tuple[str, ...] = field(default=(), repr=False)
    layers: tuple[str, ...] = ("last",)
    pooling: tuple[str, ...] = ("mean",)
    is_fixed: bool = True

    @property
    def n_views(self) -> int:
        """Number of pictures that `prepare` makes of one."""
        return self.preprocessing.n_views

    @property
    def min_side(self) -> int:
        """Side in pixels below which a photograph must not be shrunk while it is decoded."""
        return self.preprocessing.min_side

    def prepare(self, image: Image.Image) -> Array:
        """Turn a picture into pixels as the network wants them.

        Parameters
        ----------
        image : PIL.Image.Image
            In mode RGB.

        Returns
        -------
        ndarray of shape (n_views, side, side, 3), dtype uint8
            Pixels.
        """
        return self.preprocessing(image)

    def describes_alone(self, device: str) -> bool:
        """Say whether pictures are described one by one in several threads, and not in batches.

        Parameters
        ----------
        device : str
            As in `ImageFeaturizer`.

        Returns
        -------
        bool
            True on the processor.
        """
        return choose_device(device).type == "cpu"

    def describe(self, prepared: Sequence[Array], device: str, precision: str = "auto") -> list[Array]:
        """Turn prepared pictures into descriptors, averaged over the views of each.

        On the processor each is described alone, so that its descriptor is the same to the last bit
        whatever company it is in.

        Parameters
        ----------
        prepared : list of ndarray
            What `prepare` gave for each picture.
        device : str
            As in `ImageFeaturizer`.
        precision : str, default="auto"
            As in `ImageFeaturizer`.

        Returns
        -------
        list of ndarray of shape (n_pictures, width), dtype float32
            Parts of the descriptors, one for each layer and way of pooling, of whatever length the
            network gives them.
        """
        from txt2img.images.network_reader import NetworkReader, read_in_batches, read_one_by_one

        chosen = choose_device(device)
        reader = NetworkReader(
            self.name,
            self.network,
            self.preprocessing.mean,
            self.preprocessing.std,
            self.layers,
            self.pooling,
        )
        precision = choose_precision(precision, chosen)
        if chosen.type == "cpu":
            return read_one_by_one(reader, prepared, precision, is_fixed=self.is_fixed)
        return read_in_batches(reader, prepared, chosen, precision)


@dataclass(frozen=True)
class CallableBackbone:
    """A function of the user's that maps a list of RGB pictures to descriptors."""

    function: Callable[[list[Image.Image]], ArrayLike]
    n_views = 1
    min_side = None

    def prepare(self, image: Image.Image) -> Image.Image:
        """Leave the picture as it is."""
        return image

    def describes_alone(self, device: str) -> bool:
        """Say no: how large a batch the function wants is its own affair."""
        return False

    def describe(self, prepared: list[Image.Image], device: str, precision: str = "auto") -> list[Array]:
        """Ask the function."""
        return [np.array(self.function(prepared), dtype=np.float32)]
