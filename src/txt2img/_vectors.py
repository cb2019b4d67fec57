"""Rows of arrays: of length one, and whether there is anything in them."""

from typing import Any

import numpy as np
import scipy.sparse as sp

from txt2img._types import Array


def unit_rows(vectors: Array) -> Array:
    """Scale rows to length 1; rows of zeros stay."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    lengths[lengths == 0] = 1
    return vectors / lengths


def are_not_empty(vectors: Any) -> Array:
    """Say of each row of an array or a sparse matrix whether there is anything in it."""
    if not sp.issparse(vectors):
        return np.any(vectors, axis=1)
    rows = vectors.tocsr()
    n_before = np.concatenate([[0], np.cumsum(rows.data != 0)])
    return np.diff(n_before[rows.indptr]) > 0
