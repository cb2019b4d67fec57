"""Ranks and figures against naive loops and mathematical properties."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import skew

from txt2img.evaluation import (
    better_and_tied,
    better_and_tied_blockwise,
    bootstrap_means,
    chance_levels,
    k_occurrence,
    k_occurrence_skewness,
    mean_rank,
    mean_ranks,
    mean_reciprocal_rank,
    median_rank,
    recall_at,
    retrieval_figures,
)


@st.composite
def problems(draw):
    """Small whole scores, so that ties are common."""
    n_queries, n_gallery = draw(st.integers(1, 8)), draw(st.integers(1, 12))
    scores = draw(hnp.arrays(np.float64, (n_queries, n_gallery), elements=st.integers(-3, 3)))
    positions = draw(hnp.arrays(np.intp, n_queries, elements=st.integers(0, n_gallery - 1)))
    return scores, positions


def possible_ranks(scores, position):
    """All ranks that sorting may give the right photograph, each as probable as the others."""
    in_order = np.sort(scores)[::-1]
    return np.flatnonzero(in_order == scores[position]) + 1


@settings(deadline=None, max_examples=200)
@given(problems(), st.integers(1, 12))
def test_figures_are_expectations_over_random_breaking_of_ties(problem, k):
    scores, positions = problem
    n_better, n_tied = better_and_tied(scores, positions)
    possible = [possible_ranks(row, position) for row, position in zip(scores, positions)]

    ranks = [np.mean(each) for each in possible]
    np.testing.assert_allclose(mean_ranks(n_better, n_tied), ranks)
    assert recall_at(n_better, n_tied, k) == pytest.approx(np.mean([np.mean(each <= k) for each in possible]))
    reciprocal = np.mean([np.mean(1 / each) for each in possible])
    assert mean_reciprocal_rank(n_better, n_tied) == pytest.approx(reciprocal)
    assert median_rank(n_better, n_tied) == pytest.approx(np.median(ranks))
    assert mean_rank(n_better, n_tied) == pytest.approx(np.mean(ranks))


def test_without_ties_ranks_are_those_of_argsort():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(50, 30))
    positions = rng.integers(30, size=50)
    order = np.argsort(-scores, axis=1)
    ranks = [list(row).index(position) + 1 for row, position in zip(order, positions)]
    n_better, n_tied = better_and_tied(scores, positions)
    np.testing.assert_array_equal(mean_ranks(n_better, n_tied), ranks)
    assert mean_reciprocal_rank(n_better, n_tied) == pytest.approx(np.mean(1 / np.array(ranks)))


@settings(deadline=None, max_examples=100)
@given(problems(), st.randoms(use_true_random=False))
def test_order_of_photographs_and_of_queries_changes_nothing(problem, random):
    scores, positions = problem
    columns, rows = list(range(scores.shape[1])), list(range(len(scores)))
    random.shuffle(columns)
    random.shuffle(rows)
    shuffled = scores[np.ix_(rows, columns)]
    shuffled_positions = np.argsort(columns)[positions[rows]]
    for before, after in zip(
        better_and_tied(scores, positions), better_and_tied(shuffled, shuffled_positions)
    ):
        np.testing.assert_array_equal(before[rows], after)


@settings(deadline=None, max_examples=100)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 2000),
    st.booleans(),
    st.integers(0, 99),
)
def test_blockwise_equals_whole(n_queries, n_gallery, n_features, block_bytes, with_bias, seed):
    # Small whole numbers: every product is exact, whatever the order of its sums.
    rng = np.random.default_rng(seed)
    queries = rng.integers(-3, 4, size=(n_queries, n_features)).astype(np.float32)
    gallery = rng.integers(-3, 4, size=(n_gallery, n_features)).astype(np.float32)
    bias = rng.integers(-2, 3, size=n_gallery) if with_bias else None
    positions = rng.integers(n_gallery, size=n_queries)
    whole = better_and_tied(queries @ gallery.T + (bias if with_bias else 0), positions)
    blocks = better_and_tied_blockwise(queries, gallery, positions, bias=bias, block_bytes=block_bytes)
    np.testing.assert_array_equal(blocks, whole)


def test_euclidean_factors_give_the_order_of_distances():
    rng = np.random.default_rng(0)
    queries, gallery = rng.normal(size=(20, 6)), rng.normal(size=(15, 6)) * rng.uniform(0.1, 3, size=(15, 1))
    positions = rng.integers(15, size=20)
    distances = np.linalg.norm(queries[:, None] - gallery[None], axis=2)
    by_product = better_and_tied_blockwise(2 * queries, gallery, positions, bias=-(gallery**2).sum(axis=1))
    np.testing.assert_array_equal(by_product, better_and_tied(-distances, positions))


@pytest.mark.parametrize("n_gallery", [7, 33, 1003])
@pytest.mark.parametrize("with_bias", [False, True])
def test_equal_photographs_tie_whatever_the_matrix_product_rounds(n_gallery, with_bias):
    rng = np.random.default_rng(0)
    gallery = np.repeat(rng.normal(size=(1, 300)), n_gallery, axis=0).astype(np.float32)
    queries = rng.normal(size=(20, 300)).astype(np.float32)
    bias = np.full(n_gallery, 0.3) if with_bias else None
    n_better, n_tied = better_and_tied_blockwise(queries, gallery, np.full(20, n_gallery - 1), bias=bias)
    assert (n_better == 0).all()
    assert (n_tied == n_gallery).all()


def test_twins_in_the_gallery_count_as_two_photographs():
    gallery = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1], [0, 1]])
    n_better, n_tied = better_and_tied_blockwise([[1.0, 0.5]] * 3, gallery, [0, 3, 4])
    np.testing.assert_array_equal(n_better, [0, 2, 2])
    np.testing.assert_array_equal(n_tied, [2, 3, 3])
    n_better, n_tied = better_and_tied_blockwise([[1.0, 0.5]] * 3, gallery, [0, 3, 4], bias=[0, 1, 0, 0, -1])
    np.testing.assert_array_equal(n_better, [1, 2, 4])
    np.testing.assert_array_equal(n_tied, [1, 2, 1])


@pytest.mark.parametrize("prediction", [0.0, 1.0])
def test_constant_predictor_scores_chance(prediction):
    n_gallery, ks = 40, (1, 2, 5, 10)
    gallery = np.random.default_rng(0).normal(size=(n_gallery, 16)).astype(np.float32)
    positions = np.repeat(np.arange(n_gallery), 5)
    counts = better_and_tied_blockwise(np.full((len(positions), 16), prediction), gallery, positions)
    assert retrieval_figures(*counts, ks) == pytest.approx(chance_levels(n_gallery, ks), rel=1e-12)


def test_chance_levels_have_their_closed_forms():
    chance = chance_levels(1000, (1, 10))
    assert chance["R@1"] == 1 / 1000
    assert chance["R@10"] == 10 / 1000
    assert chance["median_rank"] == chance["mean_rank"] == 500.5
    assert chance["MRR"] == pytest.approx(sum(1 / rank for rank in range(1, 1001)) / 1000)


def test_perfect_predictor_is_exactly_perfect():
    figures = retrieval_figures(np.zeros(7, int), np.ones(7, int), (1, 5))
    assert figures == {"R@1": 1.0, "R@5": 1.0, "median_rank": 1.0, "mean_rank": 1.0, "MRR": 1.0}


def test_scores_are_never_held_all_at_once():
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(2000, 4)).astype(np.float32)
    gallery = rng.normal(size=(5000, 4)).astype(np.float32)
    positions = np.zeros(2000, int)
    tracemalloc.start()
    better_and_tied_blockwise(queries, gallery, positions, block_bytes=2**20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20 < 2000 * 5000 * 4


@pytest.mark.parametrize("dtype", [np.float16, np.int32, np.uint8])
def test_other_kinds_of_numbers(dtype):
    queries, gallery = np.array([[200, 100]], dtype), np.array([[200, 1], [1, 200], [250, 250]], dtype)
    np.testing.assert_array_equal(better_and_tied_blockwise(queries, gallery, [1]), [[2], [1]])


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 10), st.integers(1, 2000), st.integers(0, 99))
def test_k_occurrence_counts_the_lists(k, block_bytes, seed):
    rng = np.random.default_rng(seed)
    queries, gallery, bias = rng.normal(size=(12, 3)), rng.normal(size=(10, 3)), rng.normal(size=10)
    lists = np.argsort(-(queries @ gallery.T + bias), axis=1)[:, :k]
    expected = np.bincount(lists.ravel(), minlength=10)
    np.testing.assert_array_equal(
        k_occurrence(queries, gallery, k, bias=bias, block_bytes=block_bytes), expected
    )


def test_k_occurrence_skewness_is_the_standardised_third_moment():
    counts = np.random.default_rng(0).poisson(3, size=200)
    assert k_occurrence_skewness(counts) == pytest.approx(skew(counts))
    assert k_occurrence_skewness(np.full(9, 4)) == 0


def test_a_hub_raises_the_skewness():
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(300, 10))
    gallery = rng.normal(size=(100, 10))
    fair = k_occurrence_skewness(k_occurrence(queries, gallery, 5))
    bias = np.zeros(100)
    bias[7] = 100
    assert k_occurrence_skewness(k_occurrence(queries, gallery, 5, bias=bias)) > fair + 1


def test_bootstrap_draws_groups_as_a_whole():
    groups = np.repeat(np.arange(30), 5)
    independent = np.random.default_rng(0).integers(0, 2, size=150)
    together = np.repeat(np.arange(30) % 2, 5)
    spread = bootstrap_means(np.column_stack([independent, together]), groups).std(axis=0)
    assert spread[0] == pytest.approx(np.sqrt(0.25 / 150), rel=0.25)
    assert spread[1] == pytest.approx(np.sqrt(0.25 / 30), rel=0.1)


def test_bootstrap_weighs_observations_not_groups():
    means = bootstrap_means([[0.0], [1.0], [1.0], [1.0]], ["a", "b", "b", "b"])
    np.testing.assert_array_equal(np.unique(means), [0, 0.75, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[np.nan, 1.0]], [[1.0, 0.0]], [0]), "queries holds NaN.*first in row 0"),
        (([[0.0, 1.0]], [[1.0, 0.0], [np.inf, 0]], [0]), "gallery holds NaN.*1 of 2 rows, first in row 1"),
        (([[1.0, 1.0]], [[1.0, 0.0, 0.0]], [0]), "queries have 2 features but the gallery has 3"),
        (([1.0, 1.0], [[1.0, 0.0]], [0]), r"queries has shape \(2,\)"),
        (([["a"]], [[1.0]], [0]), "queries has shape .* matrix of numbers"),
        (([[1.0]], [[1.0]], [1]), "positions run from 1 to 1; they must lie between 0 and 0"),
        (([[1.0]], [[1.0]], [-1]), "positions run from -1"),
        (([[1.0]], [[1.0]], [0, 0]), r"positions has shape \(2,\).*must be \(1,\)"),
        (([[1.0]], [[1.0]], [0.0]), "positions .* dtype float64"),
        (([[1e200]], [[1e200]], [0]), "overflow: normalise"),
        ((np.float32([[1e20]]), np.float32([[1e20]]), [0]), "overflow: normalise"),
        (([[1e300]], np.float32([[0]]), [0]), "overflow: normalise"),
    ],
)
def test_bad_factors(arguments, message):
    with pytest.raises(ValueError, match=message):
        better_and_tied_blockwise(*arguments)


@pytest.mark.parametrize("bias", [[1.0], [[1.0, 2.0]]])
def test_bias_of_another_shape(bias):
    with pytest.raises(ValueError, match=r"bias has shape .* must be \(2,\)"):
        better_and_tied_blockwise([[1.0]], [[1.0], [2.0]], [0], bias=bias)


def test_bias_that_is_not_finite():
    with pytest.raises(ValueError, match="not finite"):
        better_and_tied_blockwise([[1.0]], [[1.0], [2.0]], [0], bias=[0.0, np.nan])


def test_scores_that_are_not_finite():
    with pytest.raises(ValueError, match="scores holds NaN"):
        better_and_tied([[1.0, np.nan]], [0])


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "5"])
def test_k_that_is_no_number_of_photographs(k):
    with pytest.raises(ValueError, match=r"k is .* must be a whole number"):
        recall_at([0], [1], k)


def test_lists_longer_than_the_gallery():
    with pytest.raises(ValueError, match="k is 3 but there are only 2 photographs"):
        k_occurrence([[1.0]], [[1.0], [2.0]], 3)


@pytest.mark.parametrize(
    ("n_better", "n_tied"), [([0, 1], [1]), ([], []), ([0], [0]), ([-1], [1]), ([0.5], [1]), ([[0]], [[1]])]
)
def test_counts_that_cannot_be(n_better, n_tied):
    with pytest.raises(ValueError, match="n_better"):
        mean_ranks(n_better, n_tied)
