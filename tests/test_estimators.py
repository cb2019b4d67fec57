"""The rules of scikit-learn, for the estimators whose input are numbers."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from txt2img import DescriptorWhitener, ImageIndex, TextToVisualRegressor


@parametrize_with_checks(
    [
        TextToVisualRegressor(),
        TextToVisualRegressor(
            "network", hidden=16, epochs=30, batch_size=16, learning_rate=0.01, random_state=0
        ),
        DescriptorWhitener(),
        ImageIndex(),
        ImageIndex("euclidean"),
    ],
    expected_failed_checks=lambda estimator: {},
    xfail_strict=True,
)
def test_rules_of_scikit_learn(estimator, check):
    check(estimator)
