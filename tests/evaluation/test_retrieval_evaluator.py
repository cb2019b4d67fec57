"""RetrievalEvaluator and RetrievalReport."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
from sklearn.base import clone
from sklearn.metrics import brier_score_loss

from txt2img import ImageIndex
from txt2img.evaluation import RetrievalEvaluator, RetrievalReport, expected_calibration_error


class Gallery:
    """The part of an index that an evaluation needs."""

    def __init__(self, descriptors, ids=None, bias=None):
        self.descriptors = np.asarray(descriptors)
        self.ids_ = list(range(len(descriptors))) if ids is None else ids
        self.bias = bias

    def score_factors(self, queries):
        return queries, self.descriptors, self.bias


@pytest.fixture
def problem():
    """Forty photographs, three captions each, predicted with some error."""
    rng = np.random.default_rng(0)
    descriptors = rng.normal(size=(40, 8))
    true_rows = np.repeat(np.arange(40), 3)
    predicted = descriptors[true_rows] + rng.normal(size=(120, 8))
    ids = [f"{row:02}.jpg" for row in range(40)]
    return predicted, Gallery(descriptors, ids), [ids[row] for row in true_rows]


def report_of(found, n_gallery=100, true_ids=None):
    """A report whose queries are found at once (1) or never (0)."""
    n_better = np.where(found, 0, n_gallery - 1)
    true_ids = list(range(len(found))) if true_ids is None else true_ids
    return RetrievalReport(n_better, np.ones(len(found), int), (1, 5), n_gallery, true_ids)


def test_ranks_are_those_of_a_naive_search(problem):
    predicted, index, true_ids = problem
    report = RetrievalEvaluator().evaluate(predicted, index, true_ids)
    for query, true_id, rank in zip(predicted, true_ids, report.ranks):
        order = sorted(index.ids_, key=lambda i: -(query @ index.descriptors[index.ids_.index(i)]))
        assert order.index(true_id) + 1 == rank
    assert report.recall_at(5) == np.mean(report.ranks <= 5)
    assert report.recall_at(3) == np.mean(report.ranks <= 3)
    assert report.median_rank == np.median(report.ranks)
    assert report.mean_rank == np.mean(report.ranks)
    assert report.mrr == pytest.approx(np.mean(1 / report.ranks))
    assert report.true_ids == true_ids
    assert (report.n_queries, report.n_gallery) == (120, 40)


def test_bias_of_the_index_counts(problem):
    predicted, index, true_ids = problem
    index.bias = np.zeros(40)
    index.bias[7] = 1000
    report = RetrievalEvaluator().evaluate(predicted, index, true_ids)
    seventh = np.array(true_ids) == "07.jpg"
    assert (report.ranks[seventh] == 1).all()
    assert (report.ranks[~seventh] > 1).all()


def test_order_of_photographs_and_captions_changes_nothing(problem):
    predicted, index, true_ids = problem
    rng = np.random.default_rng(1)
    photographs, captions = rng.permutation(40), rng.permutation(120)
    shuffled = Gallery(index.descriptors[photographs], [index.ids_[i] for i in photographs])
    before = RetrievalEvaluator().evaluate(predicted, index, true_ids)
    after = RetrievalEvaluator().evaluate(predicted[captions], shuffled, [true_ids[i] for i in captions])
    np.testing.assert_array_equal(after.ranks, before.ranks[captions])


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_constant_predictor_scores_chance(problem, value):
    predicted, index, true_ids = problem
    report = RetrievalEvaluator().evaluate(np.full_like(predicted, value), index, true_ids)
    assert report.to_dict() == pytest.approx(report.chance, rel=1e-12)


def test_ids_of_any_hashable_kind():
    ids = [("album", 1), 7, "b.jpg"]
    report = RetrievalEvaluator(ks=(1,)).evaluate(np.eye(3), Gallery(np.eye(3), ids), ids)
    assert report.recall_at(1) == 1
    ids = np.array(["a.jpg", "b.jpg"])
    report = RetrievalEvaluator(ks=(1,)).evaluate(np.eye(2), Gallery(np.eye(2), ids), ["a.jpg", "b.jpg"])
    assert report.recall_at(1) == 1


def test_figures_have_the_keys_of_chance(problem):
    report = RetrievalEvaluator(ks=[1, 7]).evaluate(*problem)
    assert list(report.to_dict()) == ["R@1", "R@7", "median_rank", "mean_rank", "MRR"]
    assert list(report.chance) == list(report.to_dict())
    assert report.chance["R@7"] == 7 / 40


def test_evaluator_follows_scikit_learn():
    evaluator = RetrievalEvaluator(ks=(1, 3))
    assert evaluator.get_params()["ks"] == (1, 3)
    assert clone(evaluator).set_params(ks=(2,)).ks == (2,)


def test_table_shows_found_interval_and_chance():
    report = report_of([1, 1, 0, 0] * 25)
    low, high = report.recall_interval(1)
    table = str(report)
    assert table.splitlines()[0] == "100 queries, 100 photographs"
    assert table.splitlines()[1].split() == ["found", "95", "%", "interval", "chance"]
    assert table.splitlines()[2].split() == f"R@1 50.0 % {100 * low:.1f} to {100 * high:.1f} % 1.0 %".split()
    assert "median rank" in table
    assert len({len(line) for line in table.splitlines()[1:]}) == 1
    assert repr(report_of([1, 0])).startswith("RetrievalReport(n_queries=2, n_gallery=100, R@1=0.5,")


def ten_occurrence_skewness(scores):
    """Skewness of how often each photograph is among the first ten, counted one query at a time."""
    counts = np.zeros(scores.shape[1])
    for own in scores:
        counts[np.argsort(-own)[:10]] += 1
    return scipy.stats.skew(counts)


def test_hubness_is_told_with_and_without_the_correction_of_the_index(problem):
    predicted, index, true_ids = problem
    spread = np.linspace(0, 119, 40).astype(int)  # as many queries as photographs
    plain = predicted[spread] @ index.descriptors.T
    report = RetrievalEvaluator().evaluate(predicted, index, true_ids)
    assert report.hubness == pytest.approx(ten_occurrence_skewness(plain))
    assert report.hubness_uncorrected is None
    index.bias = index.bias_ = np.random.default_rng(0).normal(size=40)
    corrected = RetrievalEvaluator().evaluate(predicted, index, true_ids)
    assert corrected.hubness == pytest.approx(ten_occurrence_skewness(plain + index.bias))
    assert corrected.hubness_uncorrected == pytest.approx(report.hubness)
    assert corrected.hubness != pytest.approx(report.hubness)
    index.bias_ = None  # the bias is part of the metric
    assert RetrievalEvaluator().evaluate(predicted, index, true_ids).hubness_uncorrected is None


@pytest.mark.parametrize("hubness", ["csls", "softmax"])
def test_correction_makes_the_gallery_less_skewed(hubness):
    """Half of the photographs lie on the side of all queries."""
    rng = np.random.default_rng(0)
    gallery = rng.normal(size=(60, 20)) + np.outer(np.arange(60) < 10, np.ones(20))
    queries = rng.normal(size=(60, 20)) + 1
    index = ImageIndex(hubness=hubness).fit(gallery, bank=rng.normal(size=(200, 20)) + 1)
    report = RetrievalEvaluator().evaluate(queries, index, range(60))
    assert report.hubness < 0.95 * report.hubness_uncorrected
    line = str(report).splitlines()[-1]
    assert line.split() == [
        "hubness",
        f"{report.hubness:.2f}",
        f"{report.hubness_uncorrected:.2f}",
        "uncorrected",
    ]
    assert len({len(line) for line in str(report).splitlines()[1:]}) == 1


def test_hubness_of_few_photographs_is_nought():
    report = RetrievalEvaluator(ks=(1,)).evaluate(np.eye(3), Gallery(np.eye(3)), [0, 1, 2])
    assert report.hubness == 0


def test_report_made_by_hand_knows_no_hubness():
    report = report_of([1, 0])
    assert report.hubness is report.hubness_uncorrected is None
    assert "hubness" not in str(report)


def test_confidence_is_compared_with_what_came_first(problem):
    predicted, index, true_ids = problem
    confidence = np.random.default_rng(2).random(120)
    report = RetrievalEvaluator().evaluate(predicted, index, true_ids, confidence=confidence.tolist())
    right = report.ranks == 1
    assert 0 < right.mean() < 1
    np.testing.assert_array_equal(report.confidence, confidence)
    assert report.brier_score == pytest.approx(brier_score_loss(right, confidence))
    assert report.calibration_error == pytest.approx(expected_calibration_error(confidence, right))
    line = next(line for line in str(report).splitlines() if line.startswith("confidence"))
    assert f"{100 * confidence.mean():.1f} %" in line
    assert f"calibration error {report.calibration_error:.3f}" in line
    assert f"Brier score {report.brier_score:.3f}" in line


def test_first_among_equals_is_not_right_for_certain():
    report = RetrievalReport(np.zeros(2, int), np.array([1, 2]), (1,), 5, [0, 1], confidence=np.ones(2))
    assert report.first_is_right.tolist() == [True, False]
    assert report.calibration_error == report.brier_score == 0.5


def test_confidence_is_not_made_up(problem):
    report = RetrievalEvaluator().evaluate(*problem)
    assert report.confidence is report.brier_score is report.calibration_error is None
    assert "confidence" not in str(report)


def test_confidence_of_another_number_of_queries(problem):
    with pytest.raises(ValueError, match="confidence has 119 entries but there are 120 queries"):
        RetrievalEvaluator().evaluate(*problem, confidence=np.full(119, 0.5))
    with pytest.raises(ValueError, match="confidence has 1 entries but there are 2 queries"):
        RetrievalReport(np.zeros(2, int), np.ones(2, int), (1,), 5, [0, 1], confidence=np.ones(1))


@pytest.mark.parametrize("found", [0, 1])
def test_interval_where_all_succeed_or_fail_is_the_exact_one_of_as_many_photographs(found):
    report = report_of([found] * 40, true_ids=list(np.repeat(range(20), 2)))
    exact = scipy.stats.binomtest(20 * found, 20).proportion_ci(0.95, method="exact")
    assert report.recall_interval(1) == pytest.approx((exact.low, exact.high))


def test_intervals_are_of_all_figures_and_hold_them(problem):
    report = RetrievalEvaluator().evaluate(*problem)
    intervals, figures = report.intervals(), report.to_dict()
    assert list(intervals) == list(figures)
    assert all(intervals[name][0] <= figures[name] <= intervals[name][1] for name in figures)
    assert intervals["R@5"] == pytest.approx(report.recall_interval(5))
    assert intervals == report.intervals()
    wide = report.intervals(level=0.99)
    assert all(wide[name][0] <= low < high <= wide[name][1] for name, (low, high) in intervals.items())
    assert wide["MRR"][0] < intervals["MRR"][0]


def test_one_photograph_says_nothing_of_others():
    report = report_of([1, 0, 1], true_ids=["a"] * 3)
    assert np.isnan(list(report.intervals().values())).all()
    assert "nan" not in str(report)


def test_report_is_frozen():
    with pytest.raises(AttributeError):
        report_of([1, 0]).ks = (1,)


def test_captions_that_succeed_together_make_the_interval_wider():
    photographs = np.repeat(np.arange(60), 5)
    together = report_of(photographs % 2, true_ids=list(photographs))
    independent = report_of(photographs % 2)

    def width(report):
        low, high = report.recall_interval(1)
        return high - low

    assert width(together) == pytest.approx(np.sqrt(5) * width(independent), rel=0.15)


def test_interval_holds_the_recall_and_widens_with_the_level():
    report = report_of([1, 1, 0] * 333)
    low, high = report.recall_interval(1)
    wide_low, wide_high = report.recall_interval(1, level=0.99)
    assert wide_low < low < report.recall_at(1) < high < wide_high
    assert report.recall_interval(1) == (low, high)
    assert report.recall_interval(1, random_state=1) != (low, high)
    lows, highs = report.recall_interval([1, 5])
    np.testing.assert_allclose([lows, highs], [[low, low], [high, high]])


@pytest.mark.parametrize("level", [0, 1, 95])
def test_level_that_is_no_probability(level):
    with pytest.raises(ValueError, match=f"level is {level}; it must lie between 0 and 1"):
        report_of([1, 0]).recall_interval(1, level=level)


def test_k_beyond_the_gallery():
    report = report_of([1, 0])
    for ask in (report.recall_at, report.recall_interval):
        with pytest.raises(ValueError, match="k is 101 but there are only 100 photographs"):
            ask(101)


def test_report_of_unequal_lengths():
    with pytest.raises(ValueError, match="have 2, 2 and 1 entries"):
        RetrievalReport(np.zeros(2, int), np.ones(2, int), (1,), 5, ["a"])


def test_lengths_differ(problem):
    predicted, index, true_ids = problem
    with pytest.raises(ValueError, match="predicted has 120 rows but true_ids has 119 entries"):
        RetrievalEvaluator().evaluate(predicted, index, true_ids[:-1])


def test_ids_that_are_not_in_the_index(problem):
    predicted, index, true_ids = problem
    strangers = ["x.jpg", "x.jpg", "y.jpg", "z.jpg", "w.jpg"]
    with pytest.raises(
        ValueError, match=r"4 photographs .*'x.jpg', 'y.jpg', 'z.jpg', \.\.\.; add them to the index"
    ):
        RetrievalEvaluator().evaluate(predicted, index, strangers + true_ids[5:])


@pytest.mark.parametrize("ks", [(), 5, "5", (0,), (1, 2.5), (True,), (-1,)])
def test_ks_that_are_no_numbers_of_photographs(problem, ks):
    with pytest.raises(ValueError, match="ks is"):
        RetrievalEvaluator(ks=ks).evaluate(*problem)


def test_ks_beyond_the_gallery(problem):
    with pytest.raises(ValueError, match="an entry of ks is 41 but there are only 40 photographs"):
        RetrievalEvaluator(ks=(1, 41)).evaluate(*problem)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_predictions_that_are_not_finite(problem, bad):
    predicted, index, true_ids = problem
    predicted[3, 1] = bad
    with pytest.raises(
        ValueError, match="predicted holds NaN or infinite numbers in 1 of 120 rows, first in row 3"
    ):
        RetrievalEvaluator().evaluate(predicted, index, true_ids)


def test_importing_brings_no_matplotlib():
    code = "import sys, txt2img.evaluation; print({'matplotlib', 'PIL'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "set()"
