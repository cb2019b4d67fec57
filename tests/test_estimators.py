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
    yield TextToVisualRegressor(
        "network", hidden=16, epochs=30, batch_size=16, learning_rate=0.01, random_state=0
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
        reason = "predictions are in the spaces of the maps, side by side, and not in that of y"
        names = (
            "regressors_train",
            "regressor_multioutput",
            "estimator_sparse_array",
            "estimator_sparse_matrix",
        )
        return {f"check_{name}": reason for name in names}
    if getattr(estimator, "solver", None) == "network":
        reason = "small batches see weighted captions otherwise than repeated ones: test_sample_weight.py"
        names = ("dense", "sparse")
        return {f"check_sample_weight_equivalence_on_{name}_data": reason for name in names}
    return {}


@parametrize_with_checks(list(instances()), expected_failed_checks=expected_failures)
def test_rules_of_scikit_learn(estimator, check):
    check(estimator)
