import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from test_csls_bias import unit_rows

from txt2img import ImageIndex
from txt2img.search import hubness
from txt2img.search.hubness import softmax_bias


def inverted_softmax(queries, gallery, bank, temperature):
    """exp(s(q, g) / T) over the sum of exp(s(b, g) / T), in double precision, as the paper writes it."""
    queries, gallery, bank = (rows.astype(np.float64) for rows in (queries, gallery, bank))
    return np.exp(queries @ gallery.T / temperature) / np.exp(bank @ gallery.T / temperature).sum(axis=0)


@given(st.integers(1, 15), st.integers(1, 15), st.floats(0.05, 5), st.integers(0, 1000))
def test_equals_the_naive_formula(n_bank, n_gallery, temperature, seed):
    bank, gallery = unit_rows(n_bank, seed=seed), unit_rows(n_gallery, seed=seed + 1)
    expected = [
        -temperature * np.log(np.mean([np.exp(float(g @ b) / temperature) for b in bank])) for g in gallery
    ]
    bias = softmax_bias(bank, gallery, temperature)
    assert bias.dtype == np.float32
    assert_allclose(bias, expected, atol=1e-5)


@pytest.mark.parametrize("temperature", [0.05, 0.2])
def test_index_ranks_as_the_paper_does(temperature):
    queries, gallery, bank = unit_rows(7, seed=1), unit_rows(20, seed=2), unit_rows(30, seed=3)
    index = ImageIndex(hubness="softmax", hubness_temperature=temperature).fit(gallery, bank=bank)
    expected = np.argsort(-inverted_softmax(queries, gallery, bank, temperature), axis=1)
    assert_array_equal(index.search(queries, k=20)[1], expected)
    assert (expected != np.argsort(-queries @ gallery.T, axis=1)).any()


def test_low_and_high_temperatures_are_the_nearest_query_and_the_mean():
    bank, gallery = unit_rows(30), unit_rows(17, seed=1)
    similarities = gallery @ bank.T
    assert_allclose(softmax_bias(bank, gallery, 1e-5), -similarities.max(axis=1), atol=1e-4)
    assert_allclose(softmax_bias(bank, gallery, 1e3), -similarities.mean(axis=1), atol=1e-3)


def test_large_similarities_do_not_overflow():
    bank = np.float32([[1000, 0], [0, 500]])
    assert_allclose(softmax_bias(bank, np.eye(2, dtype=np.float32), 0.05), [-1000, -500], rtol=1e-3)


@pytest.mark.parametrize("block_bytes", [1, 4 * 30 * 2, 4 * 30 * 7])
def test_blocks_do_not_change_the_result(monkeypatch, block_bytes):
    bank, gallery = unit_rows(30), unit_rows(17, seed=1)
    whole = softmax_bias(bank, gallery, 0.1)
    monkeypatch.setattr(hubness, "BLOCK_BYTES", block_bytes)
    assert_allclose(softmax_bias(bank, gallery, 0.1), whole, atol=1e-6)


def test_photographs_added_later_have_the_bias_they_would_have_had_at_once():
    gallery, bank = unit_rows(20, seed=2), unit_rows(30, seed=3)
    at_once = ImageIndex(hubness="softmax").fit(gallery, bank=bank)
    later = ImageIndex(hubness="softmax").fit(gallery[:8], bank=bank).add(gallery[8:])
    assert_allclose(later.bias_, at_once.bias_, atol=1e-6)


def test_bad_temperatures_metrics_and_banks():
    gallery = unit_rows(5)
    for temperature in (0, -0.1):
        with pytest.raises(ValueError, match=f"hubness_temperature.*Got {temperature} instead"):
            ImageIndex(hubness="softmax", hubness_temperature=temperature).fit(gallery, bank=gallery)
    with pytest.raises(ValueError, match="hubness='softmax' needs bank"):
        ImageIndex(hubness="softmax").fit(gallery)
    with pytest.raises(ValueError, match="hubness='softmax' does not go with metric=\"euclidean\""):
        ImageIndex("euclidean", hubness="softmax").fit(gallery, bank=gallery)


@pytest.mark.parametrize("hubness", ["csls", "softmax"])
def test_correction_is_as_much_as_each_query_asks_for(hubness):
    queries, gallery, bank = unit_rows(3, seed=1), unit_rows(20, seed=2), unit_rows(30, seed=3)
    index = ImageIndex(hubness=hubness).fit(gallery, bank=bank)
    scores, ids = index.search(queries, k=20, correction=[0, 1, 0.5])
    for query, share, own_scores, own_ids in zip(queries, [0, 1, 0.5], scores, ids):
        assert_allclose(own_scores, gallery[own_ids] @ query + share * index.bias_[own_ids], atol=1e-6)
    uncorrected = ImageIndex().fit(gallery)
    assert_array_equal(index.search(queries, k=5, correction=0)[1], uncorrected.search(queries, k=5)[1])
    with pytest.raises(ValueError, match=r"correction has shape \(2,\): pass one number, or one for each"):
        index.search(queries, correction=[0, 1])


def test_an_index_without_correction_has_nothing_to_leave_out():
    queries, gallery = unit_rows(3, seed=1), unit_rows(20, seed=2)
    index = ImageIndex("euclidean").fit(gallery)
    assert_array_equal(index.search(queries, correction=0)[1], index.search(queries)[1])
