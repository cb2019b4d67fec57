"""From predicted descriptors to the photographs that score best."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from txt2img._types import Array
from txt2img.search.catalogue import Where
from txt2img.search.inputs import check_k
from txt2img.search.rows import check_queries, check_shares

if TYPE_CHECKING:
    from txt2img.search.index import ImageIndex

Find: TypeAlias = Callable[[int], tuple[Array, Array, Array | None]]


def finder(
    index: ImageIndex,
    X: ArrayLike,
    k: int,
    correction: ArrayLike = 1.0,
    where: Where | None = None,
    temperature: float | None = None,
) -> tuple[Find, int]:
    """Check a question to an index, as `ImageIndex.search` describes it, and get it ready to be asked.

    Returns
    -------
    find : callable
        From a number to the scores, slots and probabilities (or None) of so many photographs a query.
    n_allowed : int
        How many photographs there are to look at.
    """
    index._check_fitted()
    queries = index._prepare(check_queries(X, index.n_features_in_))
    check_k(k)
    if where is None:
        allowed = None if index._backend.forgets else index._catalogue.present
        n_allowed = len(index)
        if k > n_allowed:
            raise ValueError(
                f"k={k} is larger than the gallery of {n_allowed} photographs: ask for at most "
                f"{n_allowed}, or add photographs"
            )
    else:
        allowed = index._catalogue.selected(where)
        n_allowed = int(np.count_nonzero(allowed))
    share = check_shares(index, correction, len(queries))

    def find(k: int) -> tuple[Array, Array, Array | None]:
        found = index._backend.search(queries, k, share=share, allowed=allowed, temperature=temperature)
        scores, probabilities = found.scores, None
        if temperature is not None and found.log_total is not None:
            probabilities = np.exp(scores / temperature - found.log_total[:, None]).astype(np.float32)
        return index._public(scores), found.slots, probabilities

    return find, n_allowed
