"""The rules of scikit-learn, for every estimator that is fitted to one array, or to an array and targets.

To texts and photographs scikit-learn applies one check; test_contract.py holds them to the others.
"""

import numpy as np
from sklearn.utils.estimator_checks import parametrize_with_checks

from txt2img import (
    CaptionVectorizer,
    DescriptorWhitener,
    ImageFeaturizer,
    ImageIndex,
    SentenceVectorizer,
    TextToVisualRegressor,
)
from txt2img.mapping import MapEnsemble, VisualMap


def lengths(items):
    return np.ones((len(items), 2))


def instances():
    yield TextToVisualRegressor()
    # A batch holds all captions of the check of weights: smaller ones see weights otherwise than repetitions.
    yield TextToVisualRegressor(
        "network", hidden=16, epochs=5, batch_size=32, learning_rate=0.03, random_state=0
    )
    yield MapEnsemble([("weak", TextToVisualRegressor()), ("strong", TextToVisualRegressor(alpha=100))])
    yield VisualMap([None])
    yield DescriptorWhitener()
    yield ImageIndex()
    yield ImageIndex("euclidean")
    yield CaptionVectorizer()
    yield SentenceVectorizer(lengths)
    yield ImageFeaturizer(lengths)


def expected_failures(estimator):
    if isinstance(estimator, MapEnsemble):
        reason = "predictions are in the spaces of the maps, side by side: two columns where y has one"
        return {f"check_estimator_sparse_{name}": reason for name in ("array", "matrix")}
    return {}


@parametrize_with_checks(list(instances()), expected_failed_checks=expected_failures)
def test_rules_of_scikit_learn(estimator, check):
    check(estimator)
