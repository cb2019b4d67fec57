"""The k best of each row, ties broken by position."""

from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np

from txt2img._types import Array

# With fewer columns for each one that is asked for, or fewer scores at all, looking at all of them is
# quicker than at groups.
FEWEST_COLUMNS_A_GROUP = 16
FEWEST_SCORES = 2**15
SCORES_A_THREAD = 2**20


def top_k(scores: Array, k: int) -> tuple[Array, Array]:
    """Find the k greatest scores of each row.

    Of long rows, the maxima of groups of columns are looked at first: the k best are among the k groups
    with the greatest maxima.

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
    >>> from txt2img._top_k import top_k
    >>> top_k(np.array([[1.0, 3.0, 3.0, 2.0]]), 2)[1].tolist()
    [[1, 2]]
    """
    if scores.size < 2 * SCORES_A_THREAD or len(scores) == 1:
        return _top_k(scores, k)
    n_threads = min(joblib.cpu_count(), scores.size // SCORES_A_THREAD, len(scores))
    with ThreadPoolExecutor(n_threads) as pool:
        parts = list(pool.map(lambda rows: _top_k(rows, k), np.array_split(scores, n_threads)))
    best, positions = (np.concatenate(part) for part in zip(*parts))
    return best, positions


def _top_k(scores: Array, k: int) -> tuple[Array, Array]:
    n_queries, n_gallery = scores.shape
    n_columns = int((n_gallery / k) ** 0.5)
    if n_columns < FEWEST_COLUMNS_A_GROUP or scores.size < FEWEST_SCORES:
        return _top_k_of_all(scores, k)
    n_groups = n_gallery // n_columns
    n_grouped = n_groups * n_columns  # column c belongs to group c % n_groups
    maxima = scores[:, :n_grouped].reshape(n_queries, n_columns, n_groups).max(axis=1)
    groups = np.argpartition(maxima, n_groups - k, axis=1)[:, n_groups - k :]
    rows = np.arange(n_queries)[:, None]
    least = maxima[rows, groups].min(axis=1, keepdims=True)
    groups.sort(axis=1)
    columns = np.empty((n_queries, k * n_columns + n_gallery - n_grouped), np.intp)
    in_groups = columns[:, : k * n_columns].reshape(n_queries, n_columns, k)
    np.add(groups[:, None, :], n_groups * np.arange(n_columns)[:, None], out=in_groups)
    columns[:, k * n_columns :] = np.arange(n_grouped, n_gallery)
    # Of one flat array numpy takes elements in half the time.
    best, found = _top_k_of_all(scores.reshape(-1).take(columns + n_gallery * rows), k)
    positions = columns[rows, found]
    # Where more groups reach the least maximum than were looked at, one further left may have been missed.
    tied = np.flatnonzero(np.count_nonzero(maxima >= least, axis=1) > k)
    if len(tied):
        best[tied], positions[tied] = _top_k_of_all(scores[tied], k)
    return best, positions


def _top_k_of_all(scores: Array, k: int) -> tuple[Array, Array]:
    n_queries, n_gallery = scores.shape
    rows = np.arange(n_queries)[:, None]
    # Finding the k-th score and then what reaches it takes a third of the time of argpartition.
    least = np.partition(scores, n_gallery - k, axis=1)[:, n_gallery - k, None]
    reached = scores >= least
    # Where more scores equal the least one kept than there is room for, those further left are kept.
    for row in np.flatnonzero(np.count_nonzero(reached, axis=1) > k):
        equal = np.flatnonzero(scores[row] == least[row])
        n_greater = np.count_nonzero(scores[row] > least[row])
        reached[row, equal[k - n_greater :]] = False
    positions = np.flatnonzero(reached).reshape(n_queries, k) - n_gallery * rows
    best = scores[rows, positions]
    order = np.argsort(-best, axis=1, kind="stable")
    return best[rows, order], positions[rows, order]
