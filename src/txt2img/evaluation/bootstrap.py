"""Bootstrap over photographs: captions of one photograph are not independent observations."""

from collections.abc import Hashable, Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.utils import check_random_state

from txt2img._grouping import photograph_of_caption
from txt2img._types import Array, Seed

__all__ = ["bootstrap_intervals", "bootstrap_means"]


def bootstrap_means(
    values: ArrayLike, groups: Iterable[Hashable], *, n_resamples: int = 1000, random_state: Seed = 0
) -> Array:
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
    sums, sizes, _ = _by_group(values, groups)
    return np.array(
        [times @ sums / (times @ sizes) for times in _draws(len(sizes), n_resamples, random_state)]
    )


def bootstrap_intervals(
    values: ArrayLike,
    groups: Iterable[Hashable],
    *,
    level: float = 0.95,
    n_resamples: int = 1000,
    random_state: Seed = 0,
) -> tuple[Array, Array]:
    """Say between which limits the means lie, if other groups might have been drawn.

    Parameters
    ----------
    values : array-like of shape (n_observations, n_figures)
        What is averaged, one row an observation.
    groups : array-like of shape (n_observations,)
        Group of each observation, as any hashable label; a group is drawn as a whole or not at all.
    level : float, default=0.95
        Probability with which an interval is to hold the mean of the whole population.
    n_resamples : int, default=1000
        Number of resamples.
    random_state : int, RandomState instance or None, default=0
        Source of chance.

    Returns
    -------
    low, high : ndarrays of shape (n_figures,), dtype float64
        Limits; NaN if there is only one group, which says nothing of others.

    Notes
    -----
    Plain quantiles of the resamples hold the truth too rarely where groups are few or the mean lies near 0 or
    1: resamples vary less than samples do, by a factor of sqrt(1 - 1 / n_groups), and the distribution of the
    mean is skewed. The quantiles taken here are corrected for bias and skewness (BCa), and moved outwards as
    Student's t is wider than the normal distribution.

    References
    ----------
    B. Efron. Better bootstrap confidence intervals. Journal of the American Statistical Association 82, 1987.

    T. C. Hesterberg. What teachers should know about the bootstrap. The American Statistician 69(4), 2015
    (the expanded percentile interval).

    Examples
    --------
    >>> import numpy as np
    >>> from txt2img.evaluation import bootstrap_intervals
    >>> found = np.tile([0.0, 1.0, 1.0, 1.0], 50)[:, np.newaxis]
    >>> low, high = bootstrap_intervals(found, groups=np.repeat(np.arange(40), 5))
    >>> bool(0.6 < low[0] < 0.75 < high[0] < 0.85)
    True
    """
    check_level(level)
    sums, sizes, _ = _by_group(values, groups)
    mean = sums.sum(axis=0) / sizes.sum()
    if len(sizes) == 1:
        return np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    means = bootstrap_means(values, groups, n_resamples=n_resamples, random_state=random_state)
    below = (np.mean(means < mean, axis=0) + np.mean(means <= mean, axis=0)) / 2
    bias = stats.norm.ppf(np.clip(below, 0.5 / n_resamples, 1 - 0.5 / n_resamples))
    one_left_out = (sums.sum(axis=0) - sums) / (sizes.sum() - sizes)[:, np.newaxis]
    deviations = one_left_out.mean(axis=0) - one_left_out
    spread = np.sum(deviations**2, axis=0)
    acceleration = np.sum(deviations**3, axis=0) / (6 * np.where(spread > 0, spread, 1) ** 1.5)
    ends = np.sqrt(len(sizes) / (len(sizes) - 1)) * stats.t.ppf(
        [(1 - level) / 2, (1 + level) / 2], len(sizes) - 1
    )
    z = bias + ends[:, np.newaxis]
    left = 1 - acceleration * z
    levels = np.where(left > 0, stats.norm.cdf(bias + z / np.where(left > 0, left, 1)), z > 0)
    low, high = (np.array([np.quantile(own, at) for own, at in zip(means.T, side)]) for side in levels)
    return low, high


def bootstrap_median_interval(
    values: Array, groups: Iterable[Hashable], *, level: float, n_resamples: int, random_state: Seed
) -> tuple[float, float]:
    """Do the same for the median of one figure, by expanded percentiles: it is not smooth enough for BCa."""
    _, sizes, group = _by_group(values[:, np.newaxis], groups)
    if len(sizes) == 1:
        return np.nan, np.nan
    order = np.argsort(values, kind="stable")
    values, group = values[order], group[order]
    medians = []
    for times in _draws(len(sizes), n_resamples, random_state):
        up_to = np.cumsum(times[group])
        middle = np.searchsorted(up_to, [up_to[-1] / 2, up_to[-1] / 2 + 0.5])
        medians.append(values[np.minimum(middle, len(values) - 1)].mean())
    end = np.sqrt(len(sizes) / (len(sizes) - 1)) * stats.t.ppf((1 + level) / 2, len(sizes) - 1)
    return tuple(np.quantile(medians, stats.norm.cdf([-end, end])).tolist())


def check_level(level: float) -> None:
    """Say what is wrong with `level`, a probability."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level!r}; it must lie between 0 and 1, for example 0.95")


def _by_group(values: ArrayLike, groups: Iterable[Hashable]) -> tuple[Array, Array, Array]:
    """Return sums of shape (n_groups, n_figures), the size of each group, and that of each observation."""
    values = np.asarray(values, dtype=np.float64)
    group = photograph_of_caption(len(values), groups)
    sums = np.column_stack([np.bincount(group, weights=column) for column in values.T])
    return sums, np.bincount(group).astype(np.float64), group


def _draws(n_groups: int, n_resamples: int, random_state: Seed) -> Iterator[Array]:
    """Yield how often each group is drawn."""
    rng = check_random_state(random_state)
    for _ in range(n_resamples):
        drawn = rng.randint(n_groups, size=n_groups)
        yield np.bincount(drawn, minlength=n_groups).astype(np.float64)
