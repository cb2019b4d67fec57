"""What a search accepts as photographs, captions and numbers of answers."""

import os
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, TypeAlias, TypeGuard

import numpy as np
from sklearn.utils.validation import has_fit_parameter

from txt2img._types import Array, Photograph, StrPath
from txt2img.images import list_photographs

Photographs: TypeAlias = StrPath | Iterable[Photograph] | Array
Captions: TypeAlias = Iterable[str | Iterable[str]]

# What a search asks of each of its parts, when it is fitted.
METHODS = {
    "featurizer": "transform",
    "whitener": "transform",
    "vectorizer": "transform",
    "regressor": "predict",
    "index": "search",
}


def as_photographs(photos: Photographs) -> Sequence[Photograph] | Array:
    """Make of a folder the list of its photographs, of path-likes strings, of descriptors an array."""
    if isinstance(photos, str | os.PathLike):
        return list_photographs(photos)
    if are_descriptors(photos):
        return photos
    photos = list(photos)
    if photos and all(is_descriptor(photo) for photo in photos):
        return np.asarray(photos, dtype=np.float32)
    return [os.fspath(photo) if isinstance(photo, os.PathLike) else photo for photo in photos]


def are_descriptors(photos: object) -> TypeGuard[Array]:
    """Say whether these are descriptors in place of photographs."""
    return isinstance(photos, np.ndarray) and photos.ndim == 2 and photos.dtype.kind == "f"


def is_descriptor(photo: object) -> bool:
    """Say whether this is a row of numbers: a list, or an array of one dimension."""
    return isinstance(photo, list | tuple) or (isinstance(photo, np.ndarray) and photo.ndim == 1)


def as_paths(photos: Sequence[Photograph] | Array) -> list[str] | None:
    """Give the paths of photographs if all of them are passed as such, else None."""
    if are_descriptors(photos):
        return None
    paths = [photo for photo in photos if isinstance(photo, str)]
    return paths if len(paths) == len(photos) else None


def check_descriptors(descriptors: Array, width: int | None = None) -> Array:
    """Return descriptors, or name the first row that holds NaN or infinity, or another width."""
    bad = np.flatnonzero(~np.isfinite(descriptors).all(axis=1))
    if len(bad):
        raise ValueError(
            f"photos holds descriptors with NaN or infinity in {len(bad)} rows, the first of them "
            f"row {bad[0]}: leave these photographs out, with their captions"
        )
    if width is not None and descriptors.shape[1] != width:
        raise ValueError(
            f"photos holds descriptors of {descriptors.shape[1]} numbers but the search was fitted on "
            f"descriptors of {width}: pass descriptors computed in the same way"
        )
    return descriptors


def map_descriptors(descriptors: Array, *steps: Any) -> Array:
    """Take descriptors through fitted transformers, of which any may be None; rows of NaN stay."""
    missing = np.all(np.isnan(descriptors), axis=1)
    mapped = np.where(missing[:, None], 0, descriptors) if missing.any() else descriptors
    for step in steps:
        if step is not None:
            mapped = step.transform(mapped)
    if missing.any():
        mapped[missing] = np.nan
    return mapped


def check_captions(captions: Captions, n_photos: int) -> list[list[str]]:
    """Return one list of sentences a photograph, or say what is wrong with `captions`."""
    if isinstance(captions, str):
        raise ValueError("captions is one string: pass one list of sentences a photograph")
    sentences = [[own] if isinstance(own, str) else list(own) for own in captions]
    if len(sentences) != n_photos:
        raise ValueError(
            f"captions has {len(sentences)} entries but there are {n_photos} photographs: "
            "pass one list of sentences a photograph"
        )
    if not any(sentences):
        raise ValueError("captions is empty: pass at least one sentence")
    return sentences


def flatten_captions(captions: list[list[str]]) -> tuple[list[str], Array]:
    """Give all sentences in one list, and for each the number of its photograph."""
    sentences = [sentence for own in captions for sentence in own]
    return sentences, np.repeat(np.arange(len(captions)), [len(own) for own in captions])


def groups_for(part: Any, photograph: Array) -> dict[str, Array]:
    """Tell a part whose fit takes `groups` which captions belong to the same photograph."""
    return {"groups": photograph} if has_fit_parameter(part, "groups") else {}


def check_k(k: object) -> None:
    """Say what is wrong with `k`, a number of answers."""
    if not isinstance(k, Integral) or isinstance(k, bool) or k < 1:
        raise ValueError(f"k={k!r} must be a whole number of at least 1")


def check_parts(parts: Mapping[str, Any]) -> None:
    """Say which part of a search is not an estimator of its kind; a featurizer may be missing."""
    for name, method in METHODS.items():
        part = parts[name]
        if part is None or (name == "whitener" and part == "passthrough"):
            continue
        if isinstance(part, type) or not (hasattr(part, "fit") and hasattr(part, method)):
            raise ValueError(
                f"{name}={part!r} must be None or an estimator with the methods fit and {method}"
            )


def check_bank_size(bank_size: object) -> None:
    """Say what is wrong with `bank_size`, a number of captions."""
    if not isinstance(bank_size, Integral) or isinstance(bank_size, bool) or bank_size < 1:
        raise ValueError(f"bank_size={bank_size!r} must be a whole number of at least 1")


def check_share(calibration_share: float | None) -> None:
    """Say what is wrong with `calibration_share`, a share of the photographs or None."""
    if calibration_share is None:
        return
    if not isinstance(calibration_share, Real) or not 0 < calibration_share < 1:
        raise ValueError(
            f"calibration_share={calibration_share!r} must lie between 0 and 1, for example 0.15, or be None"
        )
