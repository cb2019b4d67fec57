"""Photographs that ask for captions, and galleries in parts."""

import numpy as np
import pytest

from txt2img import ImageIndex
from txt2img.evaluation import RetrievalEvaluator


@pytest.fixture(params=["cosine", "inner_product", "euclidean"])
def problem(request):
    """Thirty photographs of different lengths, of which a third has no caption, the others two or four."""
    rng = np.random.default_rng(0)
    photographs = rng.normal(size=(30, 6)) * rng.uniform(0.3, 3, size=(30, 1))
    true_ids = rng.permutation(np.repeat(np.arange(30), np.arange(30) % 3 * 2))
    predicted = photographs[true_ids] + 0.8 * rng.normal(size=(len(true_ids), 6))
    ids = [f"{row:02}.jpg" for row in range(30)]
    index = ImageIndex(request.param).fit(photographs, ids=ids)
    return predicted, index, [ids[row] for row in true_ids]


def similarity(metric, caption, photograph):
    if metric == "euclidean":
        return -np.linalg.norm(caption - photograph)
    score = caption @ photograph
    return score / np.linalg.norm(caption) / np.linalg.norm(photograph) if metric == "cosine" else score


def test_photographs_find_the_best_of_their_captions(problem):
    predicted, index, true_ids = problem
    evaluator = RetrievalEvaluator(ks=(1, 5), direction="photograph_to_text", n_hits=3)
    report = evaluator.evaluate(predicted, index, true_ids, texts=[f"caption {i}" for i in range(60)])
    assert report.true_ids == sorted(set(true_ids))
    assert (report.n_queries, report.n_gallery) == (20, 60)
    for row, photograph in enumerate(report.true_ids):
        own = index.descriptors_[index.ids_.tolist().index(photograph)]
        scores = [similarity(index.metric, caption, own) for caption in predicted]
        order = np.argsort(scores)[::-1]
        first = next(i for i, caption in enumerate(order, start=1) if true_ids[caption] == photograph)
        assert report.ranks[row] == first
        assert report.hit_ids[row].tolist() == [f"caption {i}" for i in order[:3]]
    assert str(report).startswith("20 photographs, 60 captions\n")
    assert report.first_is_right.tolist() == (report.ranks == 1).tolist()


@pytest.mark.parametrize("direction", ["text_to_photograph", "photograph_to_text"])
@pytest.mark.parametrize("n_folds", [None, 4])
def test_constant_predictor_scores_chance(direction, n_folds):
    """Photographs have one, two or three captions, and folds are of unequal size."""
    rng = np.random.default_rng(0)
    index = ImageIndex("inner_product").fit(np.repeat(rng.normal(size=(1, 4)), 18, axis=0))
    true_ids = np.repeat(np.arange(18), 1 + np.arange(18) % 3)
    evaluator = RetrievalEvaluator(ks=(1, 3), direction=direction, n_folds=n_folds)
    report = evaluator.evaluate(np.ones((len(true_ids), 4)), index, true_ids)
    assert report.to_dict() == pytest.approx(report.chance)
    assert 0 < report.chance_at(1) < 1
    assert report.subset(report.ranks > 0).to_dict() == pytest.approx(report.chance)


@pytest.mark.parametrize("direction", ["text_to_photograph", "photograph_to_text"])
def test_folds_are_evaluations_of_their_own(problem, direction):
    predicted, index, true_ids = problem
    evaluator = RetrievalEvaluator(ks=(1, 2), direction=direction, n_folds=3, n_hits=2)
    report = evaluator.evaluate(predicted, index, true_ids)
    ranks, hits = {}, {}
    for fold in range(3):
        ids = [f"{row:02}.jpg" for row in range(10 * fold, 10 * fold + 10)]
        own = [row for row, photograph in enumerate(true_ids) if photograph in ids]
        part = ImageIndex(index.metric).fit(index.descriptors_[10 * fold : 10 * fold + 10], ids=ids)
        alone = RetrievalEvaluator(ks=(1, 2), direction=direction, n_hits=2).evaluate(
            predicted[own], part, [true_ids[row] for row in own], texts=own and [str(row) for row in own]
        )
        if direction == "text_to_photograph":
            chosen, names = own, alone.hit_ids
        else:
            chosen = [report.true_ids.index(photograph) for photograph in alone.true_ids]
            names = alone.hit_ids.astype(int)
        assert {report.columns["fold"][row] for row in chosen} == {fold}
        ranks |= dict(zip(chosen, alone.ranks))
        hits |= dict(zip(chosen, names.tolist()))
    assert report.ranks.tolist() == [ranks[row] for row in range(report.n_queries)]
    assert report.hit_ids.tolist() == [hits[row] for row in range(report.n_queries)]
    assert report.slices("fold")["queries"] == [report.columns["fold"].count(fold) for fold in range(3)]


def test_five_folds_are_galleries_of_a_fifth():
    rng = np.random.default_rng(0)
    photographs = rng.normal(size=(100, 8))
    index = ImageIndex().fit(photographs)
    true_ids = np.repeat(np.arange(100), 5)
    predicted = photographs[true_ids] + 2 * rng.normal(size=(500, 8))
    whole = RetrievalEvaluator().evaluate(predicted, index, true_ids)
    folds = RetrievalEvaluator(n_folds=5).evaluate(predicted, index, true_ids)
    assert folds.n_gallery == 20
    assert folds.chance["R@1"] == 1 / 20
    assert (folds.ranks <= whole.ranks).all()
    assert (folds.ranks <= 20).all()
    assert RetrievalEvaluator(n_folds=1).evaluate(predicted, index, true_ids).to_dict() == whole.to_dict()


def test_hubness_correction_is_kept_in_folds():
    rng = np.random.default_rng(0)
    photographs = rng.normal(size=(20, 8))
    index = ImageIndex(hubness="csls").fit(photographs, bank=rng.normal(size=(50, 8)))
    report = RetrievalEvaluator(n_folds=2).evaluate(photographs, index, range(20))
    assert report.hubness_uncorrected is not None
    queries, gallery, bias = index.score_factors(photographs)
    scores = (queries @ gallery.T + bias)[:10, :10]
    ranks = 1 + (scores > scores.diagonal()[:, None]).sum(axis=1)
    assert report.ranks[:10].tolist() == ranks.tolist()


@pytest.mark.parametrize(
    ("options", "known", "message"),
    [
        ({"direction": "both"}, {}, "direction is 'both'; it must be one of"),
        ({"n_folds": 0}, {}, "n_folds is 0; it must be a whole number"),
        ({"n_folds": 31}, {}, "n_folds is 31 but there are only 30 photographs"),
        ({"n_folds": 5}, {}, "an entry of ks is 10 but there are only 6 photographs"),
        ({"n_hits": 0}, {}, "n_hits is 0"),
        ({}, {"texts": ["a"]}, "texts has 1 entries but there are 60 captions"),
        ({}, {"columns": {"language": ["es"]}}, "column 'language' has 1 entries but there are 60 queries"),
        ({"direction": "photograph_to_text"}, {"columns": {"a": [0] * 60}}, "columns or confidence"),
        ({"direction": "photograph_to_text"}, {"confidence": np.ones(60)}, "columns or confidence"),
    ],
)
def test_bad_options(problem, options, known, message):
    with pytest.raises(ValueError, match=message):
        RetrievalEvaluator(**options).evaluate(*problem, **known)
