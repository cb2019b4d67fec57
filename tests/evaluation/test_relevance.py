"""Figures with several right photographs, against brute force and scikit-learn."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import coo_array, csr_array
from sklearn.metrics import ndcg_score

from txt2img.evaluation import (
    average_precision,
    chance_levels,
    first_relevant,
    mean_average_precision,
    mean_ranks,
    mean_reciprocal_rank,
    median_rank,
    ndcg_at,
    recall_at,
    relevant_better_and_tied,
    retrieval_figures,
)


def counts_of(scores, relevance):
    """Count from scores themselves: as queries, with the identity as gallery."""
    return relevant_better_and_tied(scores, np.eye(np.shape(scores)[1]), relevance)


@st.composite
def problems(draw, n_gallery=6):
    """Small whole scores, so that ties are common, and grades, one at least in a row."""
    n_queries, n_gallery = draw(st.integers(1, 4)), draw(st.integers(2, n_gallery))
    scores = draw(hnp.arrays(np.float64, (n_queries, n_gallery), elements=st.integers(-2, 2)))
    relevance = draw(hnp.arrays(np.int64, (n_queries, n_gallery), elements=st.integers(0, 3)))
    right = draw(hnp.arrays(np.intp, n_queries, elements=st.integers(0, n_gallery - 1)))
    relevance[np.arange(n_queries), right] += 1
    return scores, relevance


def possible_orders(scores, grades):
    """Grades in every order that sorting by score may give, each as probable as the others."""
    orders = {}
    for order in permutations(range(len(scores))):
        if all(scores[a] >= scores[b] for a, b in pairwise(order)):
            orders[order] = grades[list(order)]
    return list(orders.values())


@settings(deadline=None, max_examples=100)
@given(problems(n_gallery=5), st.integers(1, 6))
def test_figures_are_expectations_over_random_breaking_of_ties(problem, k):
    scores, relevance = problem
    first, precision, gain = [], [], []
    for own, grades in zip(scores, relevance):
        orders = possible_orders(own, grades)
        first.append([1 + np.flatnonzero(order)[0] for order in orders])
        precision.append(np.mean([np.mean(precisions_at_right(order)) for order in orders]))
        ideal = discounted(np.sort(grades)[::-1], k)
        gain.append(np.mean([discounted(order, k) for order in orders]) / ideal)
    counts = counts_of(scores, relevance)
    best = first_relevant(*counts, relevance)
    n_better, n_tied, n_right = best
    assert_allclose(mean_ranks(*best), [np.mean(each) for each in first])
    assert_allclose(median_rank(*best), np.median([np.mean(each) for each in first]))
    assert recall_at(n_better, n_tied, k, n_right) == pytest.approx(
        np.mean([np.mean(np.array(each) <= k) for each in first])
    )
    assert mean_reciprocal_rank(*best) == pytest.approx(
        np.mean([np.mean(1 / np.array(each)) for each in first])
    )
    assert_allclose(average_precision(*counts, relevance), precision)
    assert mean_average_precision(*counts, relevance) == pytest.approx(np.mean(precision))
    assert ndcg_at(*counts, relevance, k) == pytest.approx(np.mean(gain))


def precisions_at_right(grades):
    right = grades > 0
    return (np.cumsum(right) / np.arange(1, len(right) + 1))[right]


def discounted(grades, k):
    return np.sum(grades[:k] / np.log2(np.arange(2, len(grades[:k]) + 2)))


@pytest.mark.parametrize("k", [None, 1, 3, 10, 50])
def test_ndcg_is_that_of_scikit_learn_ties_included(k):
    rng = np.random.default_rng(0)
    scores, relevance = rng.integers(0, 6, size=(30, 20)), rng.integers(0, 4, size=(30, 20))
    relevance[:, 0] = 1
    assert ndcg_at(*counts_of(scores, relevance), relevance, k) == pytest.approx(
        ndcg_score(relevance, scores, k=k)
    )


def test_order_of_photographs_and_of_queries_changes_nothing():
    rng = np.random.default_rng(0)
    queries, gallery = rng.integers(-2, 3, size=(12, 3)), rng.integers(-2, 3, size=(15, 3))
    relevance = rng.integers(0, 3, size=(12, 15)) * (rng.random((12, 15)) < 0.3)
    relevance[:, 4] = 1
    rows, columns = rng.permutation(12), rng.permutation(15)
    shuffled = relevance[np.ix_(rows, columns)]
    before = relevant_better_and_tied(queries, gallery, relevance)
    after = relevant_better_and_tied(queries[rows], gallery[columns], shuffled)
    assert_allclose(average_precision(*after, shuffled), average_precision(*before, relevance)[rows])
    assert ndcg_at(*after, shuffled, 5) == pytest.approx(ndcg_at(*before, relevance, 5))
    for one, other in zip(first_relevant(*before, relevance), first_relevant(*after, shuffled)):
        assert_array_equal(one[rows], other)


@pytest.mark.parametrize("block_bytes", [1, 200, 2**20])
def test_blocks_bias_and_the_kind_of_matrix_change_nothing(block_bytes):
    rng = np.random.default_rng(0)
    queries, gallery = rng.integers(-3, 4, size=(9, 4)), rng.integers(-3, 4, size=(11, 4))
    bias, relevance = rng.integers(-2, 3, size=11), rng.integers(0, 2, size=(9, 11))
    relevance[:, 2] = 1
    expected = counts_of((queries @ gallery.T + bias).astype(float), relevance)
    for kind in (np.asarray, csr_array, coo_array, lambda matrix: matrix.astype(bool), np.ndarray.tolist):
        found = relevant_better_and_tied(
            queries, gallery, kind(relevance), bias=bias, block_bytes=block_bytes
        )
        assert_array_equal(found, expected)


def test_constant_predictor_scores_chance():
    rng = np.random.default_rng(0)
    captions = rng.normal(size=(200, 16)).astype(np.float32)
    relevance = np.kron(np.eye(40, dtype=int), np.ones((1, 5), int))
    counts = relevant_better_and_tied(np.ones((40, 16)), np.repeat(captions[:1], 200, axis=0), relevance)
    best = first_relevant(*counts, relevance)
    chance = chance_levels(200, (1, 10), np.full(40, 5))
    assert retrieval_figures(*best[:2], (1, 10), best[2]) == pytest.approx(chance)
    assert chance["R@1"] == pytest.approx(5 / 200)
    assert chance["mean_rank"] == pytest.approx(201 / 6)
    # Expected precision at a random order of 200 with 5 right ones, by simulation.
    drawn = [np.mean(precisions_at_right(rng.permutation(np.arange(200) < 5))) for _ in range(4000)]
    assert mean_average_precision(*counts, relevance) == pytest.approx(np.mean(drawn), rel=0.05)


def test_one_right_photograph_is_a_special_case():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 5, size=(30, 12)).astype(float)
    relevance = np.eye(12, dtype=int)[rng.integers(12, size=30)]
    n_better, n_tied = counts_of(scores, relevance)
    ones = np.ones(30, int)
    assert mean_average_precision(n_better, n_tied, relevance) == pytest.approx(
        mean_reciprocal_rank(n_better, n_tied)
    )
    assert retrieval_figures(n_better, n_tied, (1, 3), ones) == pytest.approx(
        retrieval_figures(n_better, n_tied, (1, 3))
    )


@pytest.mark.parametrize(
    ("relevance", "message"),
    [
        ([[1, 0]], r"relevance has shape \(1, 2\); .* \(2, 3\)"),
        ([[1, 0, 0], [0, 0, 0]], "no right photograph for 1 of 2 queries, first query 1: leave"),
        ([[1, 0, 0], [0, -1, 0]], "something else than finite grades from 0"),
        ([[1, 0, 0], [0, np.nan, 0]], "something else than finite grades from 0"),
        ([[1, 0, 0], [0, np.inf, 0]], "something else than finite grades from 0"),
    ],
)
def test_bad_relevance(relevance, message):
    with pytest.raises(ValueError, match=message):
        relevant_better_and_tied(np.eye(2), [[1, 0], [0, 1], [1, 1]], relevance)


@pytest.mark.parametrize("function", [first_relevant, average_precision, ndcg_at])
@pytest.mark.parametrize(
    ("n_better", "n_tied", "message"),
    [
        ([0], [1, 1], r"n_better has shape \(1,\).* each of the 2 right"),
        ([0.0, 1.0], [1, 1], "whole numbers"),
        ([0, -1], [1, 1], "numbers from 0"),
        ([0, 1], [1, 0], "numbers from 1"),
        ([0, 2], [1, 2], "together at most the 3 photographs"),
    ],
)
def test_counts_that_cannot_be(function, n_better, n_tied, message):
    with pytest.raises(ValueError, match=message):
        function(n_better, n_tied, [[1, 0, 1]])


@pytest.mark.parametrize(
    ("n_right", "message"), [([2], "must not exceed"), ([0], "whole numbers from 1"), ([1.0], "float64")]
)
def test_number_of_right_ones_that_cannot_be(n_right, message):
    with pytest.raises(ValueError, match=message):
        mean_ranks([0], [1], n_right)
