import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import softmax
from sklearn.exceptions import NotFittedError

from txt2img import ImageIndex
from txt2img.evaluation import expected_calibration_error
from txt2img.search import ConfidenceCalibrator, confidence


def make_queries(n_photographs, temperature, seed=0, width=16, n_queries=4000):
    """Draw right photographs from the very softmax that the calibrator supposes."""
    rng = np.random.default_rng(seed)
    index = ImageIndex("inner_product").fit(rng.normal(size=(n_photographs, width)))
    queries = rng.normal(size=(n_queries, width)).astype(np.float32)
    p = softmax(queries @ index.descriptors_.T / temperature, axis=1)
    right = (p.cumsum(axis=1) > rng.random((n_queries, 1))).argmax(axis=1)
    return queries, index, right


@pytest.mark.parametrize("temperature", [0.5, 2.0, 10.0])
def test_recovers_the_temperature_that_the_data_were_drawn_with(temperature):
    queries, index, right = make_queries(50, temperature)
    assert_allclose(ConfidenceCalibrator().fit(queries, index, right).temperature_, temperature, rtol=0.06)


@pytest.mark.parametrize("n_photographs", [20, 500])
def test_probabilities_come_true_in_galleries_of_other_sizes(n_photographs):
    calibrator = ConfidenceCalibrator().fit(*make_queries(100, 2.0))
    queries, index, right = make_queries(n_photographs, 2.0, seed=1)
    ids = index.search(queries, 1)[1]
    found = calibrator.probabilities(queries, index, ids)[:, 0]
    assert found.std() > 0.1
    assert expected_calibration_error(found, ids[:, 0] == right) < 0.03


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "inner_product"])
def test_probabilities_of_the_whole_gallery_add_up_to_one_in_the_order_of_the_hits(metric):
    queries, _, _ = make_queries(30, 1.0, n_queries=7)
    gallery = np.random.default_rng(3).normal(size=(30, 16))
    hubness = None if metric == "euclidean" else "csls"
    index = ImageIndex(metric, hubness=hubness).fit(gallery, bank=queries if hubness else None)
    calibrator = ConfidenceCalibrator().fit(queries, index, range(7))
    found = calibrator.probabilities(queries, index, index.search(queries, 30)[1])
    assert_allclose(found.sum(axis=1), 1, rtol=1e-4)
    assert (np.diff(found, axis=1) <= 0).all()


def test_blocks_change_nothing(monkeypatch):
    queries, index, right = make_queries(20, 1.0, n_queries=100)
    ids = index.search(queries, 3)[1]
    whole = ConfidenceCalibrator().fit(queries, index, right)
    expected = whole.probabilities(queries, index, ids)
    monkeypatch.setattr(confidence, "BLOCK_BYTES", 8 * 20 * 7)
    blockwise = ConfidenceCalibrator().fit(queries, index, right)
    assert_allclose(blockwise.temperature_, whole.temperature_, rtol=0.005)
    assert_allclose(whole.probabilities(queries, index, ids), expected, rtol=1e-5)


def test_scores_without_any_spread_are_no_reason_to_fail():
    index = ImageIndex().fit(np.ones((5, 3)))
    calibrator = ConfidenceCalibrator().fit(np.ones((4, 3)), index, range(4))
    found = calibrator.probabilities(np.ones((1, 3)), index, np.zeros((1, 1), int))
    assert_allclose(found, 0.2, rtol=1e-4)


def test_not_fitted():
    queries, index, _ = make_queries(5, 1.0, n_queries=2)
    with pytest.raises(NotFittedError):
        ConfidenceCalibrator().probabilities(queries, index, np.zeros((2, 1), int))
