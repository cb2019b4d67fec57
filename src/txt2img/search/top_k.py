"""The k best of each row, ties broken by position."""

import numpy as np


def top_k(scores, k):
    """Find the k greatest scores of each row.

    Parameters
    ----------
    scores : ndarray of shape (n_queries, n_gallery)
        Scores, free of NaN.
    k : int
        How many to find, from 1 to n_gallery.

    Returns
    -------
    best : ndarray of shape (n_queries, k)
        Their scores in falling order.
    positions : ndarray of shape (n_queries, k), dtype intp
        Their columns; of equal scores the one further left comes first.

    Examples
    --------
    >>> import numpy as np
    >>> from txt2img.search.top_k import top_k
    >>> top_k(np.array([[1.0, 3.0, 3.0, 2.0]]), 2)[1].tolist()
    [[1, 2]]
    """
    n_gallery = scores.shape[1]
    if k < n_gallery:
        positions = np.argpartition(scores, n_gallery - k, axis=1)[:, n_gallery - k :]
        best = np.take_along_axis(scores, positions, axis=1)
        least = best.min(axis=1, keepdims=True)
        # Where more scores equal the least one kept than there is room for, those further left are kept.
        for row in np.flatnonzero(np.count_nonzero(scores >= least, axis=1) > k):
            greater = np.flatnonzero(scores[row] > least[row])
            equal = np.flatnonzero(scores[row] == least[row])[: k - len(greater)]
            positions[row] = np.concatenate([greater, equal])
    else:
        positions = np.broadcast_to(np.arange(n_gallery), scores.shape)
    best = np.take_along_axis(scores, positions, axis=1)
    order = np.lexsort((positions, -best), axis=1)
    return np.take_along_axis(best, order, axis=1), np.take_along_axis(positions, order, axis=1)
