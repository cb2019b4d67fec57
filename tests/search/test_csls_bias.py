import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from txt2img import ImageIndex
from txt2img.search import hubness
from txt2img.search.hubness import csls_bias


def unit_rows(n, d=6, seed=0):
    rows = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def csls_scores(queries, gallery, bank, n_neighbors):
    """2 s(q, g) - r(q) - r(g), one query and photograph at a time, as the paper writes it."""

    def mean_of_nearest(vector, others):
        return np.mean(sorted((float(vector @ other) for other in others), reverse=True)[:n_neighbors])

    return np.array(
        [
            [2 * float(q @ g) - mean_of_nearest(q, gallery) - mean_of_nearest(g, bank) for g in gallery]
            for q in queries
        ]
    )


@given(st.integers(1, 15), st.integers(1, 15), st.integers(1, 20), st.integers(0, 1000))
def test_equals_the_naive_formula(n_bank, n_gallery, n_neighbors, seed):
    bank, gallery = unit_rows(n_bank, seed=seed), unit_rows(n_gallery, seed=seed + 1)
    expected = [
        -np.mean(sorted((float(g @ b) for b in bank), reverse=True)[:n_neighbors]) / 2 for g in gallery
    ]
    bias = csls_bias(bank, gallery, n_neighbors)
    assert bias.dtype == np.float32
    assert_allclose(bias, expected, atol=1e-6)


def test_index_ranks_as_the_paper_does():
    queries, gallery, bank = unit_rows(7, seed=1), unit_rows(20, seed=2), unit_rows(30, seed=3)
    index = ImageIndex(hubness="csls", hubness_neighbors=4).fit(gallery, bank=bank)
    expected = np.argsort(-csls_scores(queries, gallery, bank, 4), axis=1)
    assert_array_equal(index.search(queries, k=20)[1], expected)
    assert (expected != np.argsort(-queries @ gallery.T, axis=1)).any()


@pytest.mark.parametrize("block_bytes", [1, 4 * 30 * 2, 4 * 30 * 7])
def test_blocks_do_not_change_the_result(monkeypatch, block_bytes):
    bank, gallery = unit_rows(30), unit_rows(17, seed=1)
    whole = csls_bias(bank, gallery, 5)
    monkeypatch.setattr(hubness, "BLOCK_BYTES", block_bytes)
    assert_allclose(csls_bias(bank, gallery, 5), whole, atol=1e-6)


def test_a_photograph_near_to_every_query_is_pushed_back():
    queries = np.eye(5, dtype=np.float32)
    gallery = np.vstack([np.full(5, 1 / np.sqrt(5)), 0.7 * np.eye(5) + 0.14]).astype(np.float32)
    bias = csls_bias(queries, gallery, n_neighbors=5)
    assert bias[0] == bias.min()


def test_photographs_added_later_have_the_bias_they_would_have_had_at_once():
    gallery, bank = unit_rows(20, seed=2), unit_rows(30, seed=3)
    at_once = ImageIndex(hubness="csls").fit(gallery, bank=bank)
    later = ImageIndex(hubness="csls").fit(gallery[:8], bank=bank).add(gallery[8:])
    assert_allclose(later.bias_, at_once.bias_, atol=1e-6)
    later.remove([0, 5, 19])
    assert_allclose(later.bias_, np.delete(at_once.bias_, [0, 5, 19]), atol=1e-6)


def test_correction_needs_a_bank_of_the_same_width_and_no_distance():
    gallery = unit_rows(5)
    with pytest.raises(ValueError, match="hubness='csls' needs bank: pass the predicted descriptors of"):
        ImageIndex(hubness="csls").fit(gallery)
    with pytest.raises(ValueError, match="hubness='csls' does not go with metric=\"euclidean\""):
        ImageIndex("euclidean", hubness="csls").fit(gallery, bank=gallery)
    with pytest.raises(ValueError, match="bank has 3 features, but ImageIndex is expecting 6 features"):
        ImageIndex(hubness="csls").fit(gallery, bank=gallery[:, :3])
    with pytest.raises(ValueError, match="bank holds NaN or infinity"):
        ImageIndex(hubness="csls").fit(gallery, bank=np.full((2, 6), np.nan))
