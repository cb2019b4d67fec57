"""Checks of descriptors on their way into an index, and of queries."""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import validate_data

from txt2img._types import Array
from txt2img.search.catalogue import Ids, Metadata, as_columns, as_id_list

if TYPE_CHECKING:
    from txt2img.search.index import ImageIndex

LARGEST_HALF = 65504


def check_rows(
    index: ImageIndex,
    X: ArrayLike,
    ids: Ids | None,
    metadata: Metadata | None = None,
    *,
    first_id: int = 0,
    reset: bool = False,
    unreadable: str = "leave out",
) -> tuple[Array, list[Hashable], dict[str, Array]]:
    """Check descriptors with their ids and metadata, and keep what belongs together in the same row.

    Parameters
    ----------
    index : ImageIndex
        What they are for.
    X : array-like of shape (n_photographs, n_features)
        Descriptors.
    ids : sequence of hashables or None
        None for numbers from `first_id` on.
    metadata : mapping, DataFrame or None
        Columns.
    first_id : int
        See `ids`.
    reset : bool
        Whether the index takes its width from X.
    unreadable : {"leave out", "refuse"}
        What to do with a row of NaN.

    Returns
    -------
    X : ndarray of shape (n_readable, n_features), dtype float32
        Descriptors, none of them the caller's memory unless the metric is the cosine.
    ids : list of hashables
        Their ids, all different.
    columns : dict of str to ndarray
        Their metadata.
    """
    rows = _as_float32(index, X, reset)
    ids = list(range(first_id, first_id + len(rows))) if ids is None else as_id_list(ids)
    if len(ids) != len(rows):
        raise ValueError(
            f"ids has {len(ids)} entries but there are {len(rows)} descriptors: pass one id a row"
        )
    columns = as_columns(metadata, len(rows))
    finite = np.all(np.isfinite(rows), axis=1)
    missing = ~finite
    missing[missing] = np.isnan(rows[missing]).all(axis=1) & (unreadable == "leave out")
    broken = np.flatnonzero(~finite & ~missing)
    if len(broken):
        raise ValueError(
            f"the descriptor in row {broken[0]} of X (id {ids[broken[0]]!r}) holds NaN or infinity: leave "
            "the photograph out, or compute its descriptor again"
        )
    if missing.any():
        left_out = [id for id, gone in zip(ids, missing) if gone]
        warnings.warn(
            f"{len(left_out)} photographs without a descriptor are left out of the index: {left_out[:5]}",
            UserWarning,
            stacklevel=3,
        )
        rows, ids = rows[~missing], [id for id, gone in zip(ids, missing) if not gone]
        columns = {name: values[~missing] for name, values in columns.items()}
    if index.dtype == "float16" and index.metric != "cosine" and np.abs(rows).max(initial=0) > LARGEST_HALF:
        raise ValueError(
            f'X holds numbers beyond {LARGEST_HALF}, too large for dtype="float16": take dtype="float32"'
        )
    seen = set()
    for id in ids:
        if id in seen:
            raise ValueError(f"ids holds {id!r} more than once: give every photograph an id of its own")
        seen.add(id)
    return rows, ids, columns


def _as_float32(index: ImageIndex, X: ArrayLike, reset: bool) -> Array:
    # The cosine makes an array of its own anyway; without a copy the index would follow the caller's.
    copy = index.metric != "cosine"
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is told
        return validate_data(index, X, dtype=np.float32, ensure_all_finite=False, reset=reset, copy=copy)


def check_queries(X: ArrayLike, n_features: int, name: str = "X") -> Array:
    """Check queries lightly, as one query must not cost more to check than to answer."""
    with np.errstate(over="ignore"):
        X = np.asarray(X, dtype=np.float32)
    if X.ndim != 2:
        raise ValueError(
            f"{name} has {X.ndim} dimensions, shape {X.shape}. Reshape your data to "
            f"(n_queries, {n_features}): one descriptor alone is X.reshape(1, -1)"
        )
    if X.shape[1] != n_features:
        raise ValueError(
            f"{name} has {X.shape[1]} features, but ImageIndex is expecting {n_features} "
            "features as input: pass descriptors of the same space as those in the index"
        )
    if not np.isfinite(X).all():
        raise ValueError(f"{name} holds NaN or infinity: check the text that it was predicted from")
    return X


def check_shares(index: ImageIndex, correction: ArrayLike, n_queries: int) -> Array | None:
    """Return the part of the hubness correction that each query gets, or None for all of it."""
    if index.hubness is None or (isinstance(correction, float) and correction == 1):
        return None
    share = np.asarray(correction, dtype=np.float32)
    if share.shape not in ((), (n_queries,)):
        raise ValueError(
            f"correction has shape {share.shape}: pass one number, or one for each of the {n_queries} queries"
        )
    return np.broadcast_to(share, n_queries)
