"""Figures equal those of torchmetrics and ranx, on problems without ties, which these break by position."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.retrieval import (
    RetrievalHitRate,
    RetrievalMAP,
    RetrievalMRR,
    RetrievalNormalizedDCG,
)

from txt2img.evaluation import (
    better_and_tied,
    first_relevant,
    mean_average_precision,
    mean_ranks,
    mean_reciprocal_rank,
    ndcg_at,
    recall_at,
    relevant_better_and_tied,
)


@pytest.fixture(scope="module")
def ranx():
    """Import it without its compiler, which takes a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_DISABLE_JIT", "1")
        import ranx
    return ranx


@st.composite
def problems(draw):
    """Scores without ties; grades, one right photograph at least in a row; and how many to look at."""
    n_queries, n_gallery = draw(st.integers(1, 6)), draw(st.integers(2, 15))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # torchmetrics takes a photograph with the score 0 for one that was not found.
    scores = np.array([1 + rng.permutation(n_gallery) for _ in range(n_queries)]) / n_gallery
    grades = rng.integers(1, 4, size=scores.shape) * (rng.random(scores.shape) < draw(st.floats(0, 1)))
    positions = rng.integers(n_gallery, size=n_queries)
    grades[np.arange(n_queries), positions] = 1 + rng.integers(3, size=n_queries)
    return scores, grades, positions, draw(st.integers(1, n_gallery))


def by_torchmetrics(metric, scores, grades):
    """Give a metric one long row of scores."""
    indexes = torch.arange(len(scores)).repeat_interleave(scores.shape[1])
    return float(metric(torch.from_numpy(scores).flatten(), torch.from_numpy(grades).flatten(), indexes))


@settings(deadline=None, max_examples=200)
@given(problems())
def test_figures_of_one_right_photograph_are_those_of_torchmetrics_and_ranx(ranx, problem):
    scores, _, positions, k = problem
    counts = better_and_tied(scores, positions)
    right = np.eye(scores.shape[1], dtype=np.int64)[positions]
    assert recall_at(*counts, k) == pytest.approx(
        by_torchmetrics(RetrievalHitRate(top_k=k), scores, right), abs=1e-6
    )
    assert mean_reciprocal_rank(*counts) == pytest.approx(
        by_torchmetrics(RetrievalMRR(), scores, right), abs=1e-6
    )
    theirs, ranks = by_ranx(ranx, scores, right, [f"hit_rate@{k}", "mrr"])
    assert [recall_at(*counts, k), mean_reciprocal_rank(*counts)] == pytest.approx(theirs, abs=1e-6)
    np.testing.assert_allclose(mean_ranks(*counts), 1 / ranks)


@settings(deadline=None, max_examples=200)
@given(problems())
def test_figures_of_several_right_photographs_are_those_of_torchmetrics_and_ranx(ranx, problem):
    scores, grades, _, k = problem
    right = (grades > 0).astype(np.int64)
    counts = relevant_better_and_tied(scores, np.eye(scores.shape[1]), grades)
    n_better, n_tied, n_right = first_relevant(*counts, grades)
    own = {
        "hit rate": recall_at(n_better, n_tied, k, n_right),
        "MRR": mean_reciprocal_rank(n_better, n_tied, n_right),
        "MAP": mean_average_precision(*counts, grades),
        "nDCG": ndcg_at(*counts, grades),
        "nDCG@k": ndcg_at(*counts, grades, k),
    }
    torchmetrics = {
        "hit rate": by_torchmetrics(RetrievalHitRate(top_k=k), scores, right),
        "MRR": by_torchmetrics(RetrievalMRR(), scores, right),
        "MAP": by_torchmetrics(RetrievalMAP(), scores, right),
        "nDCG": by_torchmetrics(RetrievalNormalizedDCG(), scores, grades),
        "nDCG@k": by_torchmetrics(RetrievalNormalizedDCG(top_k=k), scores, grades),
    }
    assert own == pytest.approx(torchmetrics, abs=1e-6)
    theirs, _ = by_ranx(ranx, scores, grades, [f"hit_rate@{k}", "mrr", "map", "ndcg", f"ndcg@{k}"])
    assert list(own.values()) == pytest.approx(theirs, abs=1e-6)


def by_ranx(ranx, scores, grades, metrics):
    """Evaluate dictionaries of named photographs; also give the reciprocal rank of each query."""
    qrels = ranx.Qrels(
        {f"q{i}": {f"p{j}": int(row[j]) for j in np.flatnonzero(row)} for i, row in enumerate(grades)}
    )
    run = ranx.Run(
        {f"q{i}": {f"p{j}": float(score) for j, score in enumerate(row)} for i, row in enumerate(scores)}
    )
    found = ranx.evaluate(qrels, run, metrics)
    each = ranx.evaluate(qrels, run, "mrr", return_mean=False)
    return [found[metric] for metric in metrics], each
