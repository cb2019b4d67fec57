"""Whether a comparison finds what is there, and nothing where nothing is."""

from itertools import product

import numpy as np
import pytest

from txt2img.evaluation import RetrievalReport, bootstrap_intervals, compare


def report_of(n_better, photographs, ks=(1, 5), n_gallery=100, n_right=None):
    n_better = np.asarray(n_better)
    n_tied = np.ones(len(n_better), int) if n_right is None else n_right
    return RetrievalReport(n_better, n_tied, ks, n_gallery, list(photographs), n_right=n_right)


def test_p_value_is_the_share_of_all_exchanges_of_whole_photographs():
    photographs = np.repeat(range(6), [1, 2, 3, 2, 1, 3])
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, size=12), rng.integers(0, 4, size=12)
    table = compare(report_of(a, photographs), report_of(b, photographs), n_permutations=40_000)
    observed = abs(np.mean(b - a))
    exchanged = [np.mean((b - a) * np.array(signs)[photographs]) for signs in product([-1, 1], repeat=6)]
    exact = np.mean(np.abs(exchanged) >= observed - 1e-12)
    row = table["figure"].index("mean_rank")
    assert table["p_value"][row] == pytest.approx(exact, abs=0.01)
    assert table["difference"][row] == pytest.approx(np.mean(b - a))
    assert table["a"][row] == pytest.approx(np.mean(a + 1))
    assert table["b"][row] == pytest.approx(np.mean(b + 1))


@pytest.mark.parametrize("n_right", [None, np.tile([1, 2, 3], 20)], ids=["one is right", "several"])
def test_figures_are_those_of_the_reports(n_right):
    rng, photographs = np.random.default_rng(0), np.repeat(range(20), 3)
    before = report_of(rng.integers(0, 30, size=60), photographs, ks=(1, 2, 5), n_right=n_right)
    after = report_of(rng.integers(0, 10, size=60), photographs, ks=(1, 5, 10), n_right=n_right)
    table = compare(before, after, names=("words", "sentences"))
    assert table["figure"] == ["R@1", "R@5", "mean_rank", "MRR"]
    for name, report in (("words", before), ("sentences", after)):
        assert table[name] == pytest.approx([report.to_dict()[figure] for figure in table["figure"]])
    assert (np.array(table["low"]) < table["difference"]).all()
    assert (np.array(table["difference"]) < table["high"]).all()
    assert str(table).splitlines()[0] == "60 queries, paired by photograph"
    assert str(table).splitlines()[1].split() == [
        "words",
        "sentences",
        "difference",
        "95",
        "%",
        "interval",
        "p",
    ]


def test_p_values_are_uniform_where_nothing_differs():
    """Captions succeed and fail together: a test that took them for independent would find too much."""
    rng, photographs, p_values = np.random.default_rng(0), np.repeat(range(40), 5), []
    for _ in range(150):
        a, b = (np.repeat(rng.integers(0, 4, size=40), 5) for _ in range(2))
        table = compare(
            report_of(a, photographs), report_of(b, photographs), n_permutations=300, n_resamples=20
        )
        p_values.append(table["p_value"][-1])
    assert 0.01 <= np.mean(np.array(p_values) <= 0.05) <= 0.09
    assert 0.42 <= np.mean(p_values) <= 0.58


def test_a_real_difference_is_found_and_the_same_search_differs_by_nothing():
    rng, photographs = np.random.default_rng(0), np.repeat(range(100), 5)
    a = rng.integers(0, 20, size=500)
    same = compare(report_of(a, photographs), report_of(a, photographs), n_permutations=200)
    assert same["p_value"] == [1] * 4
    assert same["difference"] == [0] * 4
    better = compare(report_of(a, photographs), report_of(a // 2, photographs))
    assert max(better["p_value"]) < 0.001
    assert better["low"][0] > 0
    assert better["high"][2] < 0


def test_interval_is_that_of_the_bootstrap_over_photographs():
    rng, photographs = np.random.default_rng(0), np.repeat(range(30), 2)
    a, b = rng.integers(0, 30, size=60), rng.integers(0, 10, size=60)
    options = {"level": 0.8, "n_resamples": 50, "random_state": 1}
    table = compare(report_of(a, photographs), report_of(b, photographs), n_permutations=1, **options)
    row = table["figure"].index("mean_rank")
    low, high = bootstrap_intervals((b - a)[:, None], photographs, **options)
    assert (table["low"][row], table["high"][row]) == pytest.approx((low[0], high[0]))


def test_exchange_of_the_two_changes_the_sign_alone():
    rng, photographs = np.random.default_rng(0), np.repeat(range(30), 2)
    a, b = (report_of(rng.integers(0, 9, size=60), photographs) for _ in range(2))
    one, other = compare(a, b), compare(b, a)
    assert one["p_value"] == other["p_value"]
    np.testing.assert_allclose(one["difference"], -np.array(other["difference"]))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (report_of([0, 1], ["a", "c"]), "2 and 2 queries whose right photographs differ"),
        (report_of([0, 1, 2], ["a", "b", "b"]), "2 and 3 queries"),
        (report_of([0, 1], ["a", "b"], n_gallery=50), "of 100 and 50 candidates"),
    ],
)
def test_reports_that_do_not_compare(other, message):
    with pytest.raises(ValueError, match=message):
        compare(report_of([0, 1], ["a", "b"]), other)


@pytest.mark.parametrize("option", ["n_permutations", "n_resamples"])
def test_bad_numbers(option):
    report = report_of([0, 1], ["a", "b"])
    with pytest.raises(ValueError, match=f"{option} is 0"):
        compare(report, report, **{option: 0})
