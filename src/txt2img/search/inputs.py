"""What a search accepts as photographs and captions."""

import os

import numpy as np

from txt2img.images import list_photographs


def as_photographs(photos):
    """Make of a folder the list of its photographs, of path-likes strings, of descriptors an array."""
    if isinstance(photos, str | os.PathLike):
        return list_photographs(photos)
    if are_descriptors(photos):
        return photos
    photos = list(photos)
    if photos and all(_is_descriptor(photo) for photo in photos):
        return np.asarray(photos, dtype=np.float32)
    return [os.fspath(photo) if isinstance(photo, os.PathLike) else photo for photo in photos]


def are_descriptors(photos):
    """Say whether these are descriptors in place of photographs."""
    return isinstance(photos, np.ndarray) and photos.ndim == 2 and photos.dtype.kind == "f"


def _is_descriptor(photo):
    """Say whether this is a row of numbers: a list, or an array of one dimension."""
    return isinstance(photo, list | tuple) or (isinstance(photo, np.ndarray) and photo.ndim == 1)


def check_descriptors(descriptors):
    """Return descriptors, or name the first row that holds NaN or infinity."""
    bad = np.flatnonzero(~np.isfinite(descriptors).all(axis=1))
    if len(bad):
        raise ValueError(
            f"photos holds descriptors with NaN or infinity in {len(bad)} rows, the first of them "
            f"row {bad[0]}: leave these photographs out, with their captions"
        )
    return descriptors


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
