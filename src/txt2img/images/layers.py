"""What is read from a network: the maps of its layers, pooled over the picture."""

import difflib
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

# The last stage but one of the networks whose names begin so; the first that fits counts.
_MIDDLE = {
    "efficientnet_lite0": "_blocks.14",
    "efficientnet_lite": "_blocks.19",
    "efficientnet_v2_s": "features.5",
    "efficientnet_": "features.6",
    "mobilenet_v2": "features.16",
    "mobilenet_v3_large": "features.12",
    "mobilenet_v3_small": "features.8",
    "mnasnet": "layers.12",
    "shufflenet_v2": "stage3",
    "resnet": "layer3",
    "resnext": "layer3",
    "wide_resnet": "layer3",
    "regnet_": "trunk_output.block3",
    "densenet": "features.denseblock3",
    "convnext_": "features.5",
    "maxvit_t": "blocks.2",
    "googlenet": "inception4e",
    "inception_v3": "Mixed_6e",
    "alexnet": "features",
    "vgg": "features",
}


def read_parts(
    name: str,
    network: torch.nn.Module,
    batch: torch.Tensor,
    layers: tuple[str, ...],
    pooling: tuple[str, ...],
) -> list[torch.Tensor]:
    """Run a network on pictures and pool the outputs of some of its layers.

    Parameters
    ----------
    name : str
        Name of the network, which tells where its middle is.
    network : torch.nn.Module
        Network.
    batch : torch.Tensor of shape (n_pictures, 3, side, side)
        Normalised pictures.
    layers : tuple of str
        As in `ImageFeaturizer`.
    pooling : tuple of {"mean", "max"}
        Ways to pool.

    Returns
    -------
    list of torch.Tensor of shape (n_pictures, width)
        One for each layer and way of pooling: all ways of the first layer, then of the second, ...

    Raises
    ------
    ValueError
        If the network has no such layer, or its output cannot be pooled so.
    """
    parts = {}
    thread = threading.get_ident()

    def pool_as(layer: str) -> Callable[[torch.nn.Module, Any, Any], None]:
        def hook(module: torch.nn.Module, inputs: Any, output: Any) -> None:
            if threading.get_ident() == thread:  # others may be running the same network
                parts[layer] = [_pool(output, how, layer, name) for how in pooling]

        return hook

    with ExitStack() as stack:
        for layer in layers:
            if layer != "last":
                module = _find_module(name, network, layer)
                stack.enter_context(module.register_forward_hook(pool_as(layer)))
        if "last" in layers and "max" in pooling:
            last = stack.enter_context(_LastMap())
        output = network(batch)
    if "last" in layers:
        is_map = getattr(output, "ndim", 0) == 4 and output.shape[2] * output.shape[3] > 1
        parts["last"] = [
            _pool(output if how == "mean" or is_map else last.map, how, "last", name) for how in pooling
        ]
    if len(parts) < len(layers):
        raise ValueError(
            f"layers={layers!r}: backbone {name!r} does not run {min(set(layers) - set(parts))!r} "
            "to describe a picture: take a layer that it runs"
        )
    return [part for layer in layers for part in parts[layer]]


class _LastMap(TorchFunctionMode):
    """Remembers the last square map (n, channels, side, side) that any operation of this thread gave.

    Networks average it in many ways, by modules and by functions, so that there is no one module to
    listen to. Sequences (n, length, channels) that come after it make it forget: those of a vision
    transformer are no map, and the last map before them is that of its first layer.
    """

    map: torch.Tensor | None = None

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = function(*args, **(kwargs or {}))
        if isinstance(output, torch.Tensor):
            if output.ndim == 3:
                self.map = None
            elif output.ndim == 4 and output.shape[2] == output.shape[3] > 1:
                self.map = output
        return output


def _pool(output: Any, how: str, layer: str, name: str) -> torch.Tensor:
    if not isinstance(output, torch.Tensor):
        found = "no map before the vector" if output is None else f"a {type(output).__name__}"
    elif output.ndim == 4 and not output.shape[1] == output.shape[2] != output.shape[3]:
        return output.mean((2, 3)) if how == "mean" else output.amax((2, 3))
    elif output.ndim == 2 and how == "mean":
        return output
    else:
        found = f"an output of shape {tuple(output.shape)}"
    wanted = "maps (n, channels, height, width)" + (" or vectors (n, d)" if how == "mean" else "")
    raise ValueError(
        f"layer {layer!r} of backbone {name!r} gives {found}, and pooling {how!r} takes {wanted}: "
        "name another layer, or pool in another way"
    )


def _find_module(name: str, network: torch.nn.Module, layer: str) -> torch.nn.Module:
    """Return the module that `layer` names; "middle" is looked up in the table."""
    paths = [path for path, module in network.named_modules() if path]
    wanted = layer
    if layer == "middle":
        wanted = next((path for start, path in _MIDDLE.items() if name.startswith(start)), "")
    if wanted in paths:
        return network.get_submodule(wanted)
    near = [] if layer == "middle" else difflib.get_close_matches(layer, paths, n=3)
    raise ValueError(
        f"layer {layer!r} of backbone {name!r} is unknown: name a module of the network whose output is a "
        f"map, such as {', '.join(map(repr, near or _stages(network)))}"
    )


def _stages(network: torch.nn.Module, n_stages: int = 6) -> list[str]:
    """Paths of some modules that are made of others, those near the top first."""
    paths = [path for path, module in network.named_modules() if path and any(module.children())]
    paths = paths or [path for path, _ in network.named_children()]
    return sorted(paths, key=lambda path: path.count("."))[:n_stages]
