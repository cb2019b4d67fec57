"""A network describes pictures: one by one on the processor, in batches elsewhere."""

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from txt2img._types import Array
from txt2img.images.fused import fuse
from txt2img.images.layers import read_parts

Read: TypeAlias = Callable[[torch.Tensor], list[torch.Tensor]]

_LOCK = threading.RLock()
# Relative error of descriptors that rounding alone may cause, in networks of a hundred layers.
_ROUNDING = {"float32": 1e-3, "float16": 0.02, "bfloat16": 0.1}


@dataclass(frozen=True)
class NetworkReader:
    """Turns pixels into what is read from a network.

    Parameters
    ----------
    name, network, layers, pooling
        As in `read_parts`.
    mean, std : tuple of 3 floats
        As in `Preprocessing`.
    """

    name: str
    network: torch.nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layers: tuple[str, ...]
    pooling: tuple[str, ...]

    def on(self, device: torch.device, precision: str) -> Read:
        """Return a function that maps uint8 pixels (n, side, side, 3) to parts, in some precision."""
        network = self.network.to(device).to(memory_format=torch.channels_last)
        mean, std = (torch.tensor(each, device=device) * 255 for each in (self.mean, self.std))
        dtype = getattr(torch, precision)

        def read(pixels: torch.Tensor) -> list[torch.Tensor]:
            n, side = pixels.shape[:2]
            # Whole lines at a time, which is seven times as quick as three channels at a time.
            lines = (pixels.flatten(2) - mean.repeat(side)) / std.repeat(side)
            # Seen as (n, 3, side, side) they lie as channels_last wants them, with no copy.
            pictures = lines.view(n, side, side, 3).permute(0, 3, 1, 2)
            with nullcontext() if dtype == torch.float32 else _reduced_precision(device, dtype):
                return [part.float() for part in self._parts(network, pictures)]

        return read

    def _parts(self, network: torch.nn.Module, pictures: torch.Tensor) -> list[torch.Tensor]:
        return read_parts(self.name, network, pictures, self.layers, self.pooling)


@contextmanager
def _reduced_precision(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    with torch.autocast(device.type, dtype, cache_enabled=False), _FirstConvolutionsInSinglePrecision():
        yield


class _FirstConvolutionsInSinglePrecision(TorchFunctionMode):
    """Keeps two convolutions out of autocast.

    They cost little, and what is rounded between them tells in all that follows: most of what bfloat16
    changes in the descriptors of EfficientNet-Lite2 comes from there.
    """

    left = 2

    def __torch_function__(
        self, function: Callable[..., Any], types: object, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is not torch.nn.functional.conv2d or not self.left:
            return function(*args, **kwargs)
        self.left -= 1
        with torch.autocast(args[0].device.type, enabled=False):
            return function(args[0].float(), *args[1:], **kwargs)


def read_one_by_one(
    reader: NetworkReader, prepared: Sequence[Array], precision: str, *, is_fixed: bool
) -> list[Array]:
    """Describe each picture on one core of the processor by itself; `is_fixed` as in `Backbone`."""
    with one_core(), torch.inference_mode():
        if is_fixed:
            with _LOCK:
                read = _fused(reader, precision, prepared[0].shape)
        else:
            read = reader.on(torch.device("cpu"), precision)
        found = [[part.mean(0).numpy() for part in read(torch.from_numpy(pixels))] for pixels in prepared]
    return [np.stack(part) for part in zip(*found)]


@contextmanager
def one_core() -> Iterator[None]:
    """Keep the operations of this thread on one core: oneDNN lays weights out for a number of cores."""
    n_threads = torch.get_num_threads()
    if n_threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


@functools.lru_cache(maxsize=4)
def _fused(reader: NetworkReader, precision: str, shape: tuple[int, ...]) -> Read:
    example = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    with torch.inference_mode(False):
        return fuse(reader.on(torch.device("cpu"), precision), example, _ROUNDING[precision])


def read_in_batches(
    reader: NetworkReader, prepared: Sequence[Array], device: torch.device, precision: str
) -> list[Array]:
    """Describe pictures on a device, in halves of the batch where it has not the memory for all of it."""
    read = reader.on(device, precision)
    n_views = len(prepared[0])
    with torch.inference_mode():
        pixels = torch.from_numpy(np.concatenate(prepared))
        if device.type == "cuda":
            pixels = pixels.pin_memory()
        parts = _read_halving(read, pixels, n_views, device)
        return [part.reshape(-1, n_views, part.shape[1]).mean(1).cpu().numpy() for part in parts]


def _read_halving(read: Read, pixels: torch.Tensor, n_views: int, device: torch.device) -> list[torch.Tensor]:
    try:
        return read(pixels.to(device, non_blocking=True))
    except RuntimeError as error:  # torch.OutOfMemoryError is one, and so is what MPS raises
        n = len(pixels) // n_views
        if "out of memory" not in str(error) or n < 2:
            raise
    if device.type == "cuda":
        torch.cuda.empty_cache()
    halves = [pixels[: n // 2 * n_views], pixels[n // 2 * n_views :]]
    return [torch.cat(part) for part in zip(*(_read_halving(read, half, n_views, device) for half in halves))]
