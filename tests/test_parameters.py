"""Wrong values of parameters: the error names the parameter, and says what it may be."""

import re

import numpy as np
import pytest

from txt2img import (
    CaptionVectorizer,
    DescriptorWhitener,
    ImageFeaturizer,
    ImageIndex,
    RetrievalEvaluator,
    SentenceVectorizer,
    TextImageSearch,
    TextToVisualRegressor,
)
from txt2img.mapping import MapEnsemble, VisualMap

X = np.random.default_rng(0).normal(size=(12, 3))
CAPTIONS = ["a dog", "a cat", "a dog"]


def letters(sentences):
    return np.array([[1 + sentence.count(letter) for letter in "abc"] for sentence in sentences])


USES = {
    CaptionVectorizer(min_df=1): lambda each: each.fit(CAPTIONS),
    SentenceVectorizer(letters): lambda each: each.fit(CAPTIONS),
    ImageFeaturizer(letters): lambda each: each.fit(CAPTIONS),
    DescriptorWhitener(): lambda each: each.fit(X),
    TextToVisualRegressor(): lambda each: each.fit(X, X),
    MapEnsemble([("ridge", TextToVisualRegressor())]): lambda each: each.fit(X, X),
    VisualMap([None]): lambda each: each.fit(X),
    ImageIndex(): lambda each: each.fit(X),
    RetrievalEvaluator(ks=(1,)): lambda each: each.evaluate(X, ImageIndex().fit(X), range(12)),
    TextImageSearch(): lambda each: each.fit(X, [[caption] for caption in 4 * CAPTIONS]),
}
CASES = [
    pytest.param(each, use, name, id=f"{type(each).__name__}-{name}")
    for each, use in USES.items()
    for name in each.get_params(deep=False)
]


class Nonsense:
    """What no parameter may be."""


@pytest.mark.parametrize(("estimator", "use", "name"), CASES)
def test_the_error_names_the_parameter_and_what_it_may_be(estimator, use, name):
    right = estimator.get_params(deep=False)[name]
    estimator.set_params(**{name: Nonsense()})
    try:
        with pytest.raises(ValueError, match=rf"\b{re.escape(name)}\b.*\b(must be|must lie|choose|pass)\b"):
            use(estimator)
    finally:
        estimator.set_params(**{name: right})


WRONG = {
    TextToVisualRegressor: {
        "alpha": [0, -1.0, "some", [], [1.0, -1.0], np.nan],
        "dropout": [-0.1, 1.0],
        "hidden": [0, 2.5],
        "validation_fraction": [0, 1],
        "epochs": [0],
        "learning_rate": [0],
        "loss": ["l1"],
    },
    DescriptorWhitener: {"n_components": [0, 1.5], "exponent": [-0.1, 1.1], "shrinkage": [-1]},
    CaptionVectorizer: {
        "ngram_range": [(2, 1), (0, 1), (1,), ("1", "2")],
        "char_ngram_range": [(3, 2), (1, 2, 3)],
        "min_df": [0, -1, 1.5],
        "max_df": [-0.1, 1.5],
        "max_features": [0],
        "dtype": [int, "float16"],
        "language": ["klingon"],
    },
    SentenceVectorizer: {"encoder": ["nonsense"], "batch_size": [0], "normalize": [2]},
    ImageFeaturizer: {
        "batch_size": [0],
        "resolution": [0, 63],
        "layers": [(), ("last", "last")],
        "pooling": ["sum", ("mean", "sum"), ()],
        "framing": ["left", ("center", "left")],
        "precision": ["int8"],
        "max_pixels": [0],
        "on_error": ["ignore"],
    },
    ImageIndex: {
        "metric": ["l2"],
        "backend": ["annoy"],
        "dtype": ["float64"],
        "hubness": ["mutual"],
        "hubness_neighbors": [0],
        "hubness_temperature": [0],
        "n_neighbors": [0],
    },
    RetrievalEvaluator: {
        "ks": [(0,), (1.5,), ()],
        "direction": ["both"],
        "n_folds": [0, 1.5],
        "n_hits": [-1],
    },
    TextImageSearch: {"bank_size": [0, 1.5], "calibration_share": [0, 1, -1.0]},
    VisualMap: {"lengths": [[], [1.0, 1.0]]},
    MapEnsemble: {"weights": [[1, 2], [-1], [0]]},
}


@pytest.mark.parametrize(
    ("estimator", "use", "name", "value"),
    [
        pytest.param(each, use, name, value, id=f"{type(each).__name__}-{name}={value!r}")
        for each, use in USES.items()
        for name, values in WRONG.get(type(each), {}).items()
        for value in values
    ],
)
def test_values_out_of_range_are_refused_by_name(estimator, use, name, value):
    right = estimator.get_params(deep=False)[name]
    estimator.set_params(**{name: value})
    try:
        with pytest.raises(ValueError, match=rf"\b{name}\b"):
            use(estimator)
    finally:
        estimator.set_params(**{name: right})
