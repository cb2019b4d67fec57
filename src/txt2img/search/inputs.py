"""What a search accepts as photographs, captions and numbers of answers."""

import os
from numbers import Integral, Real

import numpy as np
from sklearn.utils.validation import has_fit_parameter

from txt2img.images import list_photographs

# What a search asks of each of its parts, when it is fitted.
METHODS = {
    "featurizer": "transform",
    "whitener": "transform",
    "vectorizer": "transform",
    "regressor": "predict",
    "index": "search",
}


def as_photographs(photos):
    """Make of a folder the list of its photographs, of path-likes strings, of descriptors an array."""
    if isinstance(photos, str | os.PathLike):
        return list_photographs(photos)
    if are_descriptors(photos):
        return photos
    photos = list(photos)
    if photos and all(is_descriptor(photo) for photo in photos):
        return np.asarray(photos, dtype=np.float32)
    return [os.fspath(photo) if isinstance(photo, os.PathLike) else photo for photo in photos]


def are_descriptors(photos):
    """Say whether these are descriptors in place of photographs."""
    return isinstance(photos, np.ndarray) and photos.ndim == 2 and photos.dtype.kind == "f"


def is_descriptor(photo):
    """Say whether this is a row of numbers: a list, or an array of one dimension."""
    return isinstance(photo, list | tuple) or (isinstance(photo, np.ndarray) and photo.ndim == 1)


def check_descriptors(descriptors, width=None):
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


def map_descriptors(descriptors, *steps):
    """Take descriptors through fitted transformers, of which any may be None; rows of NaN stay."""
    missing = np.isnan(descriptors).all(axis=1)
    mapped = np.where(missing[:, None], 0, descriptors) if missing.any() else descriptors
    for step in steps:
        if step is not None:
            mapped = step.transform(mapped)
    if missing.any():
        mapped[missing] = np.nan
    return mapped


def check_captions(captions, n_photos):
    """Return one list of sentences a photograph, or say what is wrong with `captions`."""
    if isinstance(captions, str):
        raise ValueError("captions is one string: pass one list of sentences a photograph")
    captions = [[own] if isinstance(own, str) else list(own) for own in captions]
    if len(captions) != n_photos:
        raise ValueError(
            f"captions has {len(captions)} entries but there are {n_photos} photographs: "
            "pass one list of sentences a photograph"
        )
    if not any(captions):
        raise ValueError("captions is empty: pass at least one sentence")
    return captions


def flatten_captions(captions):
    """Give all sentences in one list, and for each the number of its photograph."""
    sentences = [sentence for own in captions for sentence in own]
    return sentences, np.repeat(np.arange(len(captions)), [len(own) for own in captions])


def groups_for(part, photograph):
    """Tell a part whose fit takes `groups` which captions belong to the same photograph."""
    return {"groups": photograph} if has_fit_parameter(part, "groups") else {}


def check_k(k):
    """Say what is wrong with `k`, a number of answers."""
    if not isinstance(k, Integral) or isinstance(k, bool) or k < 1:
        raise ValueError(f"k={k!r} must be a whole number of at least 1")


def check_parts(parts):
    """Say which part of a search is not an estimator of its kind; a featurizer may be missing."""
    for name, method in METHODS.items():
        part = parts[name]
        if part is None or (name == "whitener" and part == "passthrough"):
            continue
        if isinstance(part, type) or not (hasattr(part, "fit") and hasattr(part, method)):
            raise ValueError(
                f"{name}={part!r} must be None or an estimator with the methods fit and {method}"
            )


def check_bank_size(bank_size):
    """Say what is wrong with `bank_size`, a number of captions."""
    if not isinstance(bank_size, Integral) or isinstance(bank_size, bool) or bank_size < 1:
        raise ValueError(f"bank_size={bank_size!r} must be a whole number of at least 1")


def check_share(calibration_share):
    """Say what is wrong with `calibration_share`, a share of the photographs or None."""
    if calibration_share is None:
        return
    if not isinstance(calibration_share, Real) or not 0 < calibration_share < 1:
        raise ValueError(
            f"calibration_share={calibration_share!r} must lie between 0 and 1, for example 0.15, or be None"
        )
