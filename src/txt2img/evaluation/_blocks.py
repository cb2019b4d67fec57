"""Scores of queries against a gallery, a bounded block at a time."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from txt2img._grouping import photograph_of_caption
from txt2img._types import Array

BLOCK_BYTES = 64 * 2**20


def valid_factors(
    queries: ArrayLike, gallery: ArrayLike, bias: ArrayLike | None
) -> tuple[Array, Array, Array | None]:
    """Return the factors as arrays that fit one another, or say why they do not."""
    queries, gallery = _matrix(queries, "queries"), _matrix(gallery, "gallery")
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"queries have {queries.shape[1]} features but the gallery has {gallery.shape[1]}: "
            "both must be descriptors of the same kind"
        )
    if bias is not None:
        bias = np.asarray(bias, dtype=gallery.dtype)
        if bias.shape != (len(gallery),):
            raise ValueError(
                f"bias has shape {bias.shape}; it must be ({len(gallery)},), one number a photograph"
            )
    bound = _largest(queries) * max(1, _largest(gallery)) * gallery.shape[1]
    if bias is not None:
        bound += _largest(bias)
    if not bound < float(np.finfo(gallery.dtype).max):
        _check_finite(queries, "queries")
        _check_finite(gallery, "gallery")
        raise ValueError(
            "queries, gallery or bias hold numbers that are not finite, or so large that the scores "
            "overflow: normalise the descriptors"
        )
    return queries, gallery, bias


def score_blocks(
    queries: Array, gallery: Array, bias: Array | None, block_bytes: int = BLOCK_BYTES
) -> Iterator[tuple[slice, Array]]:
    """Yield slices of the queries with their scores, in a buffer that is used again and may be written to.

    Photographs with the same descriptor and bias are scored once: a matrix product may round equal rows
    differently, and their tie would be decided by it.
    """
    n_gallery = len(gallery)
    gallery, bias, column = _without_twins(gallery, bias)
    n_rows = min(max(1, int(block_bytes) // (n_gallery * gallery.itemsize)), len(queries))
    buffer = np.empty((n_rows, len(gallery)), gallery.dtype)
    spread = buffer if column is None else np.empty((n_rows, n_gallery), gallery.dtype)
    for start in range(0, len(queries), n_rows):
        block = slice(start, min(start + n_rows, len(queries)))
        rows = queries[block].astype(gallery.dtype, copy=False)
        scores = np.matmul(rows, gallery.T, out=buffer[: len(rows)])
        if bias is not None:
            scores += bias
        if column is not None:
            scores = np.take(scores, column, axis=1, out=spread[: len(rows)], mode="clip")
        yield block, scores


def finite_matrix(values: ArrayLike, name: str) -> Array:
    """Return `values` as an array of floats, or say why it is not a matrix of finite numbers."""
    values = _matrix(values, name)
    # The sum is finite for nearly all sound input and needs no temporary array.
    with np.errstate(all="ignore"):
        suspect = not np.isfinite(values.sum())
    if suspect:
        _check_finite(values, name)
    return values


def _matrix(values: ArrayLike, name: str) -> Array:
    values = np.asarray(values)
    if values.ndim != 2 or values.size == 0 or values.dtype.kind not in "fiu":
        raise ValueError(
            f"{name} has shape {values.shape} and dtype {values.dtype}; "
            "it must be a matrix of numbers with at least one row and one column"
        )
    return values.astype(np.result_type(values, np.float32), copy=False)


def _check_finite(values: Array, name: str) -> None:
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        bad = np.flatnonzero(~finite)
        raise ValueError(
            f"{name} holds NaN or infinite numbers in {len(bad)} of {len(values)} rows, first in row "
            f"{bad[0]}: remove these rows or repair what computed them"
        )


def _largest(values: Array) -> float:
    return max(float(values.max()), -float(values.min()))


def _without_twins(gallery: Array, bias: Array | None) -> tuple[Array, Array | None, Array | None]:
    """Keep one of the photographs with the same row and bias; say for each which one, or None if all stay."""
    # Equal rows have equal sums of their bits, read as whole numbers; it spares most galleries the hashing.
    bits = np.ascontiguousarray(gallery).view(np.uint32)
    if len(np.unique(bits.sum(axis=1, dtype=np.uint64))) == len(gallery):
        return gallery, bias, None
    column = photograph_of_caption(len(gallery), y=gallery)
    if column[-1] == len(gallery) - 1:
        return gallery, bias, None
    if bias is not None:
        column = photograph_of_caption(len(gallery), groups=zip(column.tolist(), bias.tolist()))
    kept = np.unique(column, return_index=True)[1]
    return gallery[kept], None if bias is None else bias[kept], column
