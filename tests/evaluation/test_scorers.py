"""Metrics and scorers over one row a caption."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from txt2img.evaluation import (
    mean_reciprocal_rank_score,
    mean_reciprocal_rank_scorer,
    median_rank_score,
    median_rank_scorer,
    recall_at_1,
    recall_at_5,
    recall_at_10,
    recall_at_k_score,
    recall_scorer,
)

DISTANCE = {
    "cosine": lambda q, g: -(q @ g) / np.linalg.norm(q) / np.linalg.norm(g),
    "inner_product": lambda q, g: -(q @ g),
    "euclidean": lambda q, g: np.linalg.norm(q - g),
}


@pytest.fixture
def descriptors():
    """Thirty photographs of different lengths, four captions each, in no order."""
    rng = np.random.default_rng(0)
    photographs = rng.normal(size=(30, 6)) * rng.uniform(0.3, 3, size=(30, 1))
    y_true = photographs[rng.permutation(np.repeat(np.arange(30), 4))]
    return y_true, y_true + 0.8 * rng.normal(size=y_true.shape)


@pytest.mark.parametrize("metric", DISTANCE)
def test_scores_are_those_of_a_naive_search(descriptors, metric):
    y_true, y_pred = descriptors
    gallery = np.unique(y_true, axis=0)
    ranks = []
    for right, query in zip(y_true, y_pred):
        distances = [DISTANCE[metric](query, each) for each in gallery]
        ranks.append(1 + np.sum(distances < distances[np.flatnonzero((gallery == right).all(axis=1))[0]]))
    ranks = np.array(ranks)
    for k in (1, 5, 30):
        assert recall_at_k_score(y_true, y_pred, k=k, metric=metric) == pytest.approx(np.mean(ranks <= k))
    assert median_rank_score(y_true, y_pred, metric=metric) == np.median(ranks)
    assert mean_reciprocal_rank_score(y_true, y_pred, metric=metric) == pytest.approx(np.mean(1 / ranks))


def test_whole_numbers_do_not_wrap_around():
    y_true = np.array([[200, 0], [0, 200]], np.uint8)
    assert recall_at_k_score(y_true, y_true, k=1, metric="euclidean") == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_prediction_scores_chance(descriptors, dtype):
    y_true = descriptors[0].astype(dtype)
    for value in (0, 1):
        assert recall_at_k_score(y_true, np.full_like(y_true, value), k=3) == pytest.approx(3 / 30)
        assert recall_at_k_score(y_true, np.full_like(y_true, value)) == pytest.approx(5 / 30)


def test_grid_search_over_a_text_pipeline():
    rng = np.random.default_rng(0)
    words = np.array(["gato", "perro", "café", "tren", "plaza", "jirafa", "cebra", "mesa", "sofá", "playa"])
    meaning = rng.normal(size=(len(words), 12))
    contents = np.array([rng.choice(len(words), size=3, replace=False) for _ in range(60)])
    y = meaning[contents].sum(axis=1)
    photograph = np.repeat(np.arange(60), 3)
    captions = [" ".join(rng.permutation(words[contents[i]])) for i in photograph]

    pipeline = make_pipeline(TfidfVectorizer(), Ridge())
    search = GridSearchCV(
        pipeline,
        {"ridge__alpha": [1e-2, 1e9]},
        scoring={"r5": recall_at_5, "median": median_rank_scorer(), "mrr": mean_reciprocal_rank_scorer()},
        refit="r5",
        cv=GroupKFold(3),
        error_score="raise",
    )
    search.fit(captions, y[photograph], groups=photograph)
    assert search.best_params_ == {"ridge__alpha": 1e-2}
    assert search.best_score_ > 0.9
    assert (search.cv_results_["mean_test_median"] <= -1).all()
    assert search.cv_results_["mean_test_mrr"][0] > 0.8


def test_ready_made_scorers_look_at_their_k(descriptors):
    y_true, y_pred = descriptors

    class Predictor(Ridge):
        def predict(self, X):
            return X

    estimator = Predictor()
    for k, scorer in ((1, recall_at_1), (5, recall_at_5), (10, recall_at_10)):
        expected = recall_at_k_score(y_true, y_pred, k=k)
        assert scorer(estimator, y_pred, y_true) == recall_scorer(k)(estimator, y_pred, y_true) == expected
    assert recall_scorer(3, metric="euclidean")(estimator, y_pred, y_true) == recall_at_k_score(
        y_true, y_pred, k=3, metric="euclidean"
    )
    assert median_rank_scorer()(estimator, y_pred, y_true) == -median_rank_score(y_true, y_pred)


def test_gallery_is_that_of_the_fold(descriptors):
    y_true, _ = descriptors
    with pytest.raises(ValueError, match="k is 20 but there are only 15 photographs"):
        cross_val_score(
            Ridge(),
            y_true,
            y_true,
            groups=[row.tobytes() for row in y_true],
            cv=GroupKFold(2),
            scoring=recall_scorer(20),
            error_score="raise",
        )


@pytest.mark.parametrize(
    ("y_true", "y_pred", "options", "message"),
    [
        ([[1.0, 2.0]], [[1.0]], {}, r"y_true has shape \(1, 2\) but y_pred has shape \(1, 1\)"),
        ([1.0, 2.0], [[1.0], [2.0]], {}, "y_true has shape"),
        ([[1.0]], [[np.nan]], {}, "y_pred holds NaN"),
        ([[1.0]], [[1.0]], {"metric": "manhattan"}, "metric is 'manhattan'; it must be \"cosine\""),
        ([[1.0]], [[1.0]], {"k": 2}, "only 1 photographs"),
    ],
)
def test_bad_input(y_true, y_pred, options, message):
    with pytest.raises(ValueError, match=message):
        recall_at_k_score(y_true, y_pred, **{"k": 1, **options})


def test_scorer_of_a_bad_k():
    with pytest.raises(ValueError, match="k is 0"):
        recall_scorer(0)
