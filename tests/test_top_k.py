import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from txt2img._top_k import top_k

# Few different values, so that most rows have many ties, with infinities and both zeros among them.
few_values = st.sampled_from([-np.inf, -1.5, -0.0, 0.0, 1.0, 2.0, np.inf])
any_values = st.floats(width=32, allow_nan=False)
shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=25)


@given(
    scores=hnp.arrays(np.float32, shapes, elements=few_values)
    | hnp.arrays(np.float32, shapes, elements=any_values),
    data=st.data(),
)
def test_equals_a_stable_sort(scores, data):
    k = data.draw(st.integers(1, scores.shape[1]))
    before = scores.copy()
    best, positions = top_k(scores, k)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    assert_array_equal(positions, expected)
    assert_array_equal(best, np.take_along_axis(scores, expected, axis=1))
    assert_array_equal(scores, before)


@pytest.mark.parametrize("k", [1, 5, 50])
def test_all_equal_scores_keep_the_order_of_the_gallery(k):
    best, positions = top_k(np.ones((3, 50), np.float32), k)
    assert_array_equal(positions, np.tile(np.arange(k), (3, 1)))
    assert_array_equal(best, 1)


def test_no_queries_give_no_rows():
    best, positions = top_k(np.empty((0, 4), np.float32), 2)
    assert best.shape == positions.shape == (0, 2)


def test_many_scores_are_shared_out_among_cores(monkeypatch):
    scores = np.random.default_rng(0).integers(0, 50, (37, 90)).astype(np.float32)
    alone = top_k(scores, 6)
    monkeypatch.setattr("txt2img._top_k.SCORES_A_THREAD", 100)
    monkeypatch.setattr("joblib.cpu_count", lambda: 4)
    for shared, expected in zip(top_k(scores, 6), alone, strict=True):
        assert_array_equal(shared, expected)
