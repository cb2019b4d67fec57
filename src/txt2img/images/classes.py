"""What a classifier learned of its classes, in the form of captioned descriptors."""

from collections.abc import Iterator
from importlib import resources

import numpy as np

from txt2img._types import Array
from txt2img.images.backbones import load_backbone


def class_descriptors(backbone: str, weights: str = "DEFAULT") -> tuple[Array, list[list[str]]]:
    """Describe the classes of a backbone as if they were photographs, with their names as captions.

    The row of the last layer that scores a class is the direction in which photographs of that class lie.
    The rows are centred, their singular values are brought to the power 1/2, so that what all classes
    share does not drown what tells them apart, and each is brought to length 1. Beside the 1,000 classes of
    ImageNet, in English, stand groups of them in English and Spanish, such as "dog, un perro" or
    "basketball player, un jugador de baloncesto", with the mean of their members: many things that people
    ask for are no class of ImageNet, and one knows people by what they wear and hold.

    Parameters
    ----------
    backbone : str
        Name of a backbone trained on ImageNet's 1,000 classes; see
        :func:`txt2img.images.list_backbones`.
    weights : str, default="DEFAULT"
        For torchvision's networks the name of the weights.

    Returns
    -------
    descriptors : ndarray of shape (n_classes_and_groups, n_features), dtype float32
        Rows of length 1, in the space of the descriptors of `backbone`.
    captions : list of list of str
        The name of each class; of each group the name in English and in Spanish.

    References
    ----------
    Frome et al., "DeViSE: A Deep Visual-Semantic Embedding Model", NIPS 2013, link class names and
    descriptors in the other direction.

    Examples
    --------
    >>> from txt2img.images import class_descriptors
    >>> descriptors, captions = class_descriptors("efficientnet_lite0")
    >>> descriptors.shape, captions[1], captions[1000]
    ((1176, 1280), ['goldfish'], ['fish', 'un pez'])
    """
    loaded = load_backbone(backbone, weights)
    if loaded.classifier is None:
        raise ValueError(f"backbone={backbone!r} comes without its classes: take one of list_backbones()")
    rows = loaded.classifier.weight.detach().cpu().numpy().reshape(len(loaded.class_names), -1)
    centred = (rows - rows.mean(axis=0)).astype(np.float64)
    squares, axes = np.linalg.eigh(centred @ centred.T)  # an SVD takes longer
    kept = squares > 1e-10 * squares[-1]
    rows = (axes[:, kept] * squares[kept] ** -0.25) @ (axes[:, kept].T @ centred)
    groups = list(_imagenet_groups())
    rows = np.concatenate([rows, [rows[members].mean(axis=0) for _, members in groups]])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32), [[name] for name in loaded.class_names] + [names for names, _ in groups]


def _imagenet_groups() -> Iterator[tuple[list[str], list[int]]]:
    """Yield the names of each group of classes and its members, written as ``151-268 273``."""
    table = resources.files("txt2img.images").joinpath("imagenet_groups.tsv").read_text(encoding="utf-8")
    for line in table.splitlines():
        *names, ranges = line.split("\t")
        bounds = (item.split("-") for item in ranges.split())
        yield (
            names,
            sorted({i for first, *last in bounds for i in range(int(first), int((last or [first])[0]) + 1)}),
        )
