import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose

from txt2img.evaluation import expected_calibration_error


def test_probabilities_that_come_true_have_hardly_any_error():
    rng = np.random.default_rng(0)
    confidence = rng.random(200_000)
    assert expected_calibration_error(confidence, rng.random(200_000) < confidence) < 0.01


@pytest.mark.parametrize("n_bins", [1, 3, 15])
def test_equals_its_definition(n_bins):
    rng = np.random.default_rng(1)
    confidence, correct = rng.random(500), rng.random(500) < 0.3
    edges, expected = np.linspace(0, 1, n_bins + 1), 0.0
    for low, high in itertools.pairwise(edges):
        inside = (confidence >= low) & (confidence < high)
        if inside.any():
            expected += inside.mean() * abs(confidence[inside].mean() - correct[inside].mean())
    assert_allclose(expected_calibration_error(confidence, correct, n_bins), expected)


def test_certainty_counts():
    assert expected_calibration_error([1.0, 1.0, 0.0], [True, True, False]) == 0
    assert expected_calibration_error([1.0], [False]) == 1


@pytest.mark.parametrize(("confidence", "correct"), [([0.5], [True, False]), ([1.2], [True]), ([], [])])
def test_wrong_input_is_refused(confidence, correct):
    with pytest.raises(ValueError, match="confidence"):
        expected_calibration_error(confidence, correct)
