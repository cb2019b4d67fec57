"""What makes a descriptor of a photograph what it is, in plain values: half of the key of the store."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from txt2img.images.backbone import Backbone, CallableBackbone

if TYPE_CHECKING:
    import torch

_VERSION = 1  # of reading, preparing and describing: to be raised with any change of the descriptors


def describe_settings(
    backbone: Backbone | CallableBackbone, precision: str, normalized: bool
) -> dict[str, Any]:
    """Describe how descriptors are computed.

    Parameters
    ----------
    backbone : Backbone or CallableBackbone
        The network, its preprocessing and what is read from it.
    precision : {"float32", "bfloat16", "float16"}
        Type of the numbers inside the network.
    normalized : bool
        Whether descriptors are brought to length 1.

    Returns
    -------
    dict
        Strings, numbers, lists and dicts of them.

    Raises
    ------
    ValueError
        If the backbone is a callable that does not say what it is.
    """
    settings: dict[str, Any] = {"version": _VERSION, "normalize": bool(normalized)}
    if isinstance(backbone, CallableBackbone):
        name = getattr(backbone.function, "cache_key", None)
        if not isinstance(name, str):
            raise ValueError(
                f"backbone={backbone.function!r} does not go with cache: nothing tells whether it is the "
                "function of last time. Give it a name that changes with what it computes, such as "
                'backbone.cache_key = "clip-vit-b32, 1", or leave cache=None'
            )
        return settings | {"backbone": name}
    return settings | {
        "backbone": backbone.name,
        "precision": precision,
        "weights": sum_of_weights(backbone.network),
        "preprocessing": asdict(backbone.preprocessing),
        "layers": list(backbone.layers),
        "pooling": list(backbone.pooling),
    }


def sum_of_weights(network: torch.nn.Module | str) -> str:
    """Return the SHA-256 sum of the structure, weights and buffers of a torch module, or of an ONNX file."""
    if isinstance(network, str):
        with open(network, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return _sum_of_tensors(network, repr(network).encode())


@lru_cache(maxsize=4)  # it keeps the networks, and no more of them are kept elsewhere
def sum_of_known_weights(network: torch.nn.Module | str) -> str:
    """Return the SHA-256 sum of the weights of a network that stays as it is, computed once a process.

    The structure is not part of it, as other versions of torch describe it in other words.
    """
    return sum_of_weights(network) if isinstance(network, str) else _sum_of_tensors(network)


def _sum_of_tensors(network: torch.nn.Module, structure: bytes = b"") -> str:
    import torch

    content = hashlib.sha256(structure)
    for name, tensor in network.state_dict().items():
        content.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        content.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy())
    return content.hexdigest()
