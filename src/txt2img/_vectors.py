"""Vectors of length one."""

import numpy as np

from txt2img._types import Array


def unit_rows(vectors: Array) -> Array:
    """Scale rows to length 1; rows of zeros stay."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    lengths[lengths == 0] = 1
    return vectors / lengths
