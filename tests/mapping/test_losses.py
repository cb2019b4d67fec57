import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from txt2img.mapping.losses import LOSSES

N, D = 12, 5


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    photograph = np.array([0, 0, 1, 2, 3, 3, 3, 4, 5, 6, 7, 1])
    descriptors = rng.normal(size=(8, D))
    return rng.normal(size=(N, D)), descriptors[photograph], photograph


def value(name, text, visual, photograph, weight=None, temperature=0.1, margin=0.2):
    loss = LOSSES[name](temperature=temperature, margin=margin)
    weight = np.ones(len(text)) if weight is None else weight
    return float(loss(*map(torch.from_numpy, (text, visual, photograph, weight))))


def cosines(text, visual):
    return np.array([[t @ v / np.linalg.norm(t) / np.linalg.norm(v) for v in visual] for t in text])


def test_mean_squared_error_and_cosine(batch):
    text, visual, _ = batch
    assert_allclose(value("mse", *batch), ((text - visual) ** 2).mean())
    assert_allclose(value("cosine", *batch), 1 - np.diag(cosines(text, visual)).mean())


def test_infonce_is_the_cross_entropy_with_the_photographs_captions_sharing_the_target(batch):
    text, visual, photograph = batch
    scores = cosines(text, visual) / 0.1
    entropies = []
    for matrix in (scores, scores.T):
        for i, row in enumerate(matrix):
            probability = np.exp(row) / np.exp(row).sum()
            same = np.flatnonzero(photograph == photograph[i])
            entropies.append(-np.mean(np.log(probability[same])))
    assert_allclose(value("infonce", *batch), np.mean(entropies))


def test_hinge_counts_every_pair_of_different_photographs_in_both_directions(batch):
    text, visual, photograph = batch
    scores = cosines(text, visual)
    violations = [
        max(0, 0.2 + wrong - scores[i, i])
        for i in range(N)
        for j in range(N)
        if photograph[i] != photograph[j]
        for wrong in (scores[i, j], scores[j, i])
    ]
    assert_allclose(value("hinge", *batch), np.mean(violations))


def test_captions_of_the_same_photograph_are_never_wrong(batch):
    text, visual, _ = batch
    one = np.zeros(N, int)
    assert value("hinge", text, visual, one) == 0
    same_descriptor = np.repeat(visual[:1], N, axis=0)
    same_text = np.repeat(text[:1], N, axis=0)
    assert_allclose(value("infonce", same_text, same_descriptor, one), np.log(N))


@pytest.mark.parametrize("name", ["cosine", "infonce", "hinge"])
def test_lengths_do_not_matter(batch, name):
    text, visual, photograph = batch
    scale = np.arange(1, N + 1)[:, None]
    assert_allclose(
        value(name, text * scale, visual * scale[::-1], photograph), value(name, text, visual, photograph)
    )


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_right_pairs_cost_less_than_wrong_ones(batch, name):
    _, visual, photograph = batch
    assert value(name, visual, visual, photograph) < value(name, np.roll(visual, 5, 0), visual, photograph)
