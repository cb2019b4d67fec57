"""A network in an ONNX file."""

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from txt2img._optional import import_optional
from txt2img._types import Array
from txt2img.exceptions import UnknownBackboneError
from txt2img.images.backbone import Backbone
from txt2img.images.preprocessing import Preprocessing

_DEFAULT_SIDE = 224


@dataclass(frozen=True)
class OnnxBackbone(Backbone):
    """A network in an ONNX file, whose path is `network`, run by ONNX Runtime on the processor.

    It maps pictures (n, 3, side, side), preprocessed as ImageNet's networks expect them, to descriptors
    (n, d) or maps (n, d, height, width). The other parameters are those of `Backbone`.
    """

    network: str = field(repr=False)

    def describes_alone(self, device: str) -> bool:
        """Say yes: each core describes one picture at a time."""
        return True

    def describe(self, prepared: Sequence[Array], device: str, precision: str = "auto") -> list[Array]:
        """Turn prepared pictures into descriptors, as `Backbone` does, on the processor in any case."""
        session = open_session(self.network)
        name = session.get_inputs()[0].name
        mean, std = (
            np.array(each, np.float32).reshape(3, 1, 1) * 255
            for each in (self.preprocessing.mean, self.preprocessing.std)
        )
        rows = []
        for pixels in prepared:
            pictures = (pixels.transpose(0, 3, 1, 2) - mean) / std
            found = [session.run(None, {name: picture[None]})[0] for picture in pictures]
            rows.append(np.concatenate([self._pooled(each) for each in found]).mean(0))
        return [np.stack(part) for part in zip(*(np.split(row, len(self.pooling)) for row in rows))]

    def _pooled(self, output: Array) -> Array:
        """Bring an output of one picture to a vector a way of pooling, side by side."""
        if output.ndim == 4:
            ways = {"mean": output.mean((2, 3)), "max": output.max((2, 3))}
        elif output.ndim == 2 and self.pooling == ("mean",):
            ways = {"mean": output}
        else:
            raise ValueError(
                f"backbone={self.network!r} gives an output of shape {output.shape}, and "
                f"pooling={self.pooling!r} takes maps (n, d, height, width), or for 'mean' vectors (n, d)"
            )
        return np.hstack([ways[how] for how in self.pooling])


def load_onnx(path: str) -> OnnxBackbone:
    """Load a backbone from an ONNX file.

    Raises
    ------
    MissingExtraError
        If the extra ``onnx`` is not installed.
    UnknownBackboneError
        If there is no such file, or it is no network of pictures.
    """
    session = open_session(path)
    try:
        shapes = [each.shape for each in session.get_inputs() if each.name]
        widths = [each.shape[1] for each in session.get_outputs()[:1] if len(each.shape) > 1]
    except UnicodeDecodeError as error:
        message = f"backbone={path!r} is no network that ONNX Runtime reads: {error}"
        raise UnknownBackboneError(message) from error
    if len(shapes) != 1 or len(shapes[0]) != 4:
        raise UnknownBackboneError(
            f"backbone={path!r} takes inputs of shapes {shapes}: it must take one, (n, 3, side, side)"
        )
    side = shapes[0][2] if isinstance(shapes[0][2], int) else _DEFAULT_SIDE
    preprocessing = Preprocessing().at(side)
    width = widths[0] if widths else None
    return OnnxBackbone(
        os.path.basename(path), path, preprocessing, n_features=width if isinstance(width, int) else None
    )


def open_session(path: str) -> Any:
    """Open an ONNX file with ONNX Runtime, one core a run; the last few stay open."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise UnknownBackboneError(f"backbone={path!r} cannot be read: {error.strerror}") from error
    return _open_session(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=4)
def _open_session(path: str, changed: int, size: int) -> Any:
    runtime = import_optional("onnxruntime", extra="onnx", purpose=f"backbone={path!r}")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base but this
        message = f"backbone={path!r} is no network that ONNX Runtime reads: {error}"
        raise UnknownBackboneError(message) from error
