"""Which captions belong to the same photograph."""

import hashlib
from collections.abc import Hashable, Iterable

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_consistent_length

from txt2img._types import Array


def photograph_of_caption(
    n_captions: int, groups: Iterable[Hashable] | None = None, y: ArrayLike | None = None
) -> Array:
    """Say for every caption which photograph it describes, as a number from 0 on.

    Parameters
    ----------
    n_captions : int
        Number of captions.
    groups : array-like of shape (n_captions,), default=None
        Photograph of each caption, as any hashable label.
    y : array-like of shape (n_captions, n_features), default=None
        Descriptor of the photograph of each caption. Used if `groups` is None: captions with the same
        descriptor, bit for bit, describe the same photograph.

    Returns
    -------
    ndarray of shape (n_captions,), dtype intp
        Numbers in order of first appearance. With neither `groups` nor a two-dimensional `y` every
        caption counts as a photograph of its own.

    Raises
    ------
    ValueError
        If `groups` has another length than the captions.
    """
    if groups is not None:
        labels = list(groups)
        if len(labels) != n_captions:
            raise ValueError(
                f"groups has {len(labels)} entries but there are {n_captions} captions: "
                "pass the photograph of each caption, one entry a caption"
            )
    elif y is not None and np.ndim(y) == 2:
        rows = np.ascontiguousarray(y)
        check_consistent_length(rows, range(n_captions))
        labels = [hashlib.blake2b(row, digest_size=16).digest() for row in rows]
    else:
        return np.arange(n_captions)
    number: dict[Hashable, int] = {}
    return np.fromiter((number.setdefault(label, len(number)) for label in labels), np.intp, n_captions)
