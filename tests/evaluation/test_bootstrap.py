"""Bootstrap over photographs: what it resamples, and how often its intervals hold the truth."""

import numpy as np
import pytest
import scipy.stats

from txt2img.evaluation import RetrievalReport, bootstrap_intervals, bootstrap_means
from txt2img.evaluation.bootstrap import bootstrap_median_interval


def share_covered(n_photographs, a, b, n_data_sets=300, seed=0):
    """Simulate evaluations in which each photograph has a recall of its own, drawn from Beta(a, b).

    Its five captions are found with that probability, each by itself.
    """
    rng = np.random.default_rng(seed)
    true_ids = np.repeat(np.arange(n_photographs), 5)
    covered = 0
    for _ in range(n_data_sets):
        found = rng.random(len(true_ids)) < np.repeat(rng.beta(a, b, n_photographs), 5)
        report = RetrievalReport(np.where(found, 0, 99), np.ones(len(found), int), (1,), 100, true_ids)
        low, high = report.recall_interval(1)
        covered += low <= a / (a + b) <= high
    return covered / n_data_sets


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_photographs", "a", "b"),
    [(1000, 2, 3), (200, 0.3, 1.2), (50, 2, 3), (50, 0.3, 5), (30, 3, 0.4)],
    ids=["many", "some", "few", "few that are seldom found", "very few that are mostly found"],
)
def test_interval_covers_the_truth_as_often_as_it_says(n_photographs, a, b):
    assert 0.93 <= share_covered(n_photographs, a, b) <= 0.97


def test_interval_covers_the_truth_about_as_often_as_it_says():
    assert 0.87 <= share_covered(60, 2, 3, n_data_sets=60) <= 1


def test_interval_of_a_mean_is_about_that_of_student():
    values = np.random.default_rng(0).normal(size=(400, 1))
    low, high = bootstrap_intervals(values, np.arange(400), n_resamples=4000)
    by_theory = scipy.stats.t.interval(0.95, 399, values.mean(), scipy.stats.sem(values[:, 0]))
    assert (low[0], high[0]) == pytest.approx(by_theory, abs=0.01)


def test_interval_follows_the_skewness():
    values = np.random.default_rng(0).exponential(size=(40, 1)) ** 2
    low, high = bootstrap_intervals(values, np.arange(40), n_resamples=4000)
    plain = np.quantile(bootstrap_means(values, np.arange(40), n_resamples=4000), [0.025, 0.975])
    assert low[0] > plain[0]
    assert high[0] > plain[1]


def test_interval_is_that_of_scipy_but_for_students_t():
    values, n = np.random.default_rng(0).exponential(size=30) ** 2, 30
    wider = scipy.stats.norm.ppf(0.975) / np.sqrt(n / (n - 1))
    level = 2 * scipy.stats.t.cdf(wider, n - 1) - 1  # at which ours goes as far out as scipy's at 0.95
    ends = bootstrap_intervals(values[:, np.newaxis], np.arange(n), level=level, n_resamples=10_000)
    theirs = scipy.stats.bootstrap((values,), np.mean, n_resamples=10_000, random_state=0)
    assert np.ravel(ends) == pytest.approx(tuple(theirs.confidence_interval), rel=0.03)


def test_figures_do_not_disturb_one_another():
    values = np.random.default_rng(0).random((60, 3))
    groups = np.repeat(range(20), 3)
    together = np.array(bootstrap_intervals(values, groups))
    alone = np.column_stack([bootstrap_intervals(values[:, [i]], groups) for i in range(3)])
    np.testing.assert_allclose(together, alone.reshape(2, 3))


def test_what_never_varies_has_an_interval_of_no_width():
    low, high = bootstrap_intervals(np.full((12, 1), 0.7), np.repeat(range(4), 3))
    assert low == pytest.approx(0.7)
    assert high == pytest.approx(0.7)


def test_two_groups_are_enough_for_the_widest_interval():
    low, high = bootstrap_intervals([[0.0], [1.0]], ["a", "b"])
    assert (low[0], high[0]) == (0, 1)


def test_interval_of_the_median_is_that_of_resampled_captions():
    rng = np.random.default_rng(0)
    values, groups = rng.integers(1, 200, size=90).astype(float), np.repeat(np.arange(30), 3)
    own = [values[groups == group] for group in range(30)]
    medians, draws = [], np.random.RandomState(0)
    for _ in range(1000):
        medians.append(np.median(np.concatenate([own[i] for i in draws.randint(30, size=30)])))
    end = np.sqrt(30 / 29) * scipy.stats.t.ppf(0.975, 29)
    expected = np.quantile(medians, scipy.stats.norm.cdf([-end, end]))
    found = bootstrap_median_interval(values, groups, level=0.95, n_resamples=1000, random_state=0)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_level_that_is_no_probability(level):
    with pytest.raises(ValueError, match=f"level is {level}; it must lie between 0 and 1"):
        bootstrap_intervals([[0.0], [1.0]], ["a", "b"], level=level)
