"""Near-duplicates: many photographs of one answer."""

import numpy as np

from txt2img._vectors import unit_rows

# How many times as many photographs are looked at first as there are to be groups.
LOOK_AHEAD = 4


def find_groups(find, k, n_allowed, descriptors_of, ids_of, threshold):
    """Look at more and more of the best photographs, until those of each query make k groups.

    Parameters
    ----------
    find : callable
        From a number to the scores, slots and probabilities (or None) of so many photographs a query.
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
    probabilities : ndarray of shape (n_queries, k), dtype float32
        Sums of the photographs' probabilities; zeros if there are none.
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
    probabilities = np.zeros_like(scores)
    for query, own in enumerate(groups):
        for place, members in enumerate(own):
            scores[query, place] = found[query, members[0]]
            ids[query, place] = tuple(ids_of(slots[query, members]).tolist())
            if chances is not None:
                probabilities[query, place] = chances[query, members].sum()
    return scores, ids, probabilities


def group_near_duplicates(descriptors, threshold, n_groups):
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
    descriptors = unit_rows(np.asarray(descriptors, np.float32))
    groups, left = [], np.arange(len(descriptors))
    while len(left) and len(groups) < n_groups:
        near = descriptors[left] @ descriptors[left[0]] >= threshold
        near[0] = True
        groups.append(left[near])
        left = left[~near]
    return groups
