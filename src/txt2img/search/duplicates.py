"""Near-duplicates: many photographs of one answer."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from txt2img._types import Array
from txt2img._vectors import unit_rows
from txt2img.search.finding import Find

# How many times as many photographs are looked at first as there are to be groups.
LOOK_AHEAD = 4


def find_groups(
    find: Find,
    k: int,
    n_allowed: int,
    descriptors_of: Callable[[Array], Array],
    ids_of: Callable[[Array], Array],
    threshold: float,
) -> tuple[Array, Array, Array | None]:
    """Look at more and more of the best photographs, until those of each query make k groups.

    Parameters
    ----------
    find : callable
        From `finder`.
    k : int
        How many groups to find.
    n_allowed : int
        How many photographs there are to look at.
    descriptors_of, ids_of : callable
        From slots to descriptors, and to ids.
    threshold : float
        See `group_near_duplicates`.

    Returns
    -------
    scores : ndarray of shape (n_queries, k), dtype float32
        Score of the best photograph of each group; -inf where there are no more groups.
    ids : ndarray of shape (n_queries, k), dtype object
        Tuples of ids.
    probabilities : ndarray of shape (n_queries, k), dtype float32, or None
        Sums of the photographs' probabilities; None if there are none.
    """
    n_looked_at = min(LOOK_AHEAD * k, n_allowed)
    while True:
        found, slots, chances = find(n_looked_at)
        groups = [group_near_duplicates(descriptors_of(own), threshold, k) for own in slots]
        if n_looked_at == n_allowed or all(len(own) == k for own in groups):
            break
        n_looked_at = min(2 * n_looked_at, n_allowed)
    scores, ids = np.full((len(groups), k), -np.inf, np.float32), np.empty((len(groups), k), object)
    ids.fill(())
    probabilities = None if chances is None else np.zeros_like(scores)
    for query, own in enumerate(groups):
        for place, members in enumerate(own):
            scores[query, place] = found[query, members[0]]
            ids[query, place] = tuple(ids_of(slots[query, members]).tolist())
            if chances is not None and probabilities is not None:
                probabilities[query, place] = chances[query, members].sum()
    return scores, ids, probabilities


def group_near_duplicates(descriptors: ArrayLike, threshold: float, n_groups: int) -> list[Array]:
    """Group photographs with those that look almost the same.

    The first photograph takes all that are near to it, then the first that is left, and so on.

    Parameters
    ----------
    descriptors : ndarray of shape (n_photographs, n_features)
        The photographs, the best first.
    threshold : float
        Cosine from which on two photographs are near-duplicates.
    n_groups : int
        How many groups to make at most.

    Returns
    -------
    list of ndarray of int
        Rows of the photographs of each group, rising.

    Examples
    --------
    >>> from txt2img.search.duplicates import group_near_duplicates
    >>> [own.tolist() for own in group_near_duplicates([[1, 0], [0, 1], [9, 1]], 0.95, 2)]
    [[0, 2], [1]]
    """
    rows = unit_rows(np.asarray(descriptors, np.float32))
    groups: list[Array] = []
    left = np.arange(len(rows))
    while len(left) and len(groups) < n_groups:
        near = rows[left] @ rows[left[0]] >= threshold
        near[0] = True
        groups.append(left[near])
        left = left[~near]
    return groups
