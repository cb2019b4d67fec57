"""Bootstrap over photographs: captions of one photograph are not independent observations."""

import numpy as np
from sklearn.utils import check_random_state

from txt2img._grouping import photograph_of_caption

__all__ = ["bootstrap_means"]


def bootstrap_means(values, groups, *, n_resamples=1000, random_state=0):
    """Resample whole groups with replacement and take the mean over all their observations.

    Parameters
    ----------
    values : array-like of shape (n_observations, n_figures)
        What is averaged, one row an observation.
    groups : array-like of shape (n_observations,)
        Group of each observation, as any hashable label; a group is drawn as a whole or not at all.
    n_resamples : int, default=1000
        Number of resamples.
    random_state : int, RandomState instance or None, default=0
        Source of chance.

    Returns
    -------
    ndarray of shape (n_resamples, n_figures), dtype float64
        Means of each resample. Their quantiles are the limits of a percentile interval.

    References
    ----------
    A. C. Davison, D. V. Hinkley. Bootstrap methods and their application. Cambridge University Press,
    1997, section 3.8 (hierarchical data).

    Examples
    --------
    >>> from txt2img.evaluation import bootstrap_means
    >>> bootstrap_means([[0.0], [1.0], [1.0]], ["a", "b", "b"], n_resamples=500).shape
    (500, 1)
    """
    values = np.asarray(values, dtype=np.float64)
    group = photograph_of_caption(len(values), groups)
    sizes = np.bincount(group).astype(np.float64)
    sums = np.column_stack([np.bincount(group, weights=column) for column in values.T])
    rng = check_random_state(random_state)
    means = np.empty((n_resamples, values.shape[1]))
    for i in range(n_resamples):
        times = np.bincount(rng.randint(len(sizes), size=len(sizes)), minlength=len(sizes)).astype(np.float64)
        means[i] = times @ sums / (times @ sizes)
    return means
