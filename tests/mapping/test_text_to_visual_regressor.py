import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline

from txt2img import CaptionVectorizer, SentenceVectorizer, TextToVisualRegressor

SOLVERS = {
    "ridge": TextToVisualRegressor(alpha=0.1),
    "network": TextToVisualRegressor("network", hidden=8, epochs=2, random_state=0),
}
both_solvers = pytest.mark.parametrize("regressor", SOLVERS.values(), ids=SOLVERS)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 9)), rng.normal(size=(40, 5))


def with_one(value, array):
    array = array.copy()
    array[3, 3] = value
    return array


@both_solvers
def test_transform_is_predict(regressor, data):
    X, Y = data
    fitted = clone(regressor).fit(X, Y)
    assert_array_equal(fitted.transform(X), fitted.predict(X))
    assert_array_equal(clone(regressor).fit_transform(X, Y), fitted.predict(X))
    assert len(fitted.get_feature_names_out()) == 5
    assert fitted.get_feature_names_out()[0] == "texttovisualregressor0"


@both_solvers
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_type_of_the_predictions_is_that_of_the_vectors(regressor, data, dtype):
    X, Y = data
    for fit_dtype in (np.float32, np.float64):
        fitted = clone(regressor).fit(X.astype(fit_dtype), Y)
        assert fitted.predict(X.astype(dtype)).dtype == dtype


@both_solvers
def test_pickle_predicts_the_same(regressor, data):
    fitted = clone(regressor).fit(*data)
    assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(data[0]), fitted.predict(data[0]))


@both_solvers
def test_learns_from_words_beside_sentence_vectors(regressor, captioned):
    def lengths(sentences):
        return np.array([[len(sentence), sentence.count("a")] for sentence in sentences])

    captions, descriptors = captioned
    sentences = [own[0] for own in captions]
    union = FeatureUnion([("words", CaptionVectorizer()), ("meaning", SentenceVectorizer(lengths))])
    text = make_pipeline(union, clone(regressor)).fit(sentences, descriptors)
    assert text.predict(sentences[:3]).shape == (3, 64)


def test_solver_is_a_parameter_of_a_grid(data):
    grid = GridSearchCV(
        TextToVisualRegressor(hidden=4, epochs=1, random_state=0),
        {"solver": ["ridge", "network"], "alpha": [1.0, 10.0]},
        cv=2,
    )
    assert len(grid.fit(*data).cv_results_["params"]) == 4


@both_solvers
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, Y: (X[:-1], Y), r"inconsistent numbers of samples: \[39, 40\]"),
        (lambda X, Y: (with_one(np.nan, X), Y), "Input X contains NaN"),
        (lambda X, Y: (X, with_one(np.nan, Y)), "Input y contains NaN"),
        (lambda X, Y: (X, with_one(np.inf, Y)), "Input y contains infinity"),
        (lambda X, Y: (X[:0], Y[:0]), r"Found array with 0 sample\(s\)"),
        (lambda X, Y: (X[:, 0], Y), "Expected 2D array, got 1D array"),
        (lambda X, Y: (X, None), "requires y to be passed, but the target y is None"),
    ],
)
def test_bad_training_data_is_named(regressor, data, change, message):
    with pytest.raises(ValueError, match=message):
        clone(regressor).fit(*change(*data))


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("solver", "svm"),
        ("alpha", 0),
        ("alpha", -1.0),
        ("hidden", 0),
        ("epochs", 0),
        ("batch_size", 2.5),
        ("learning_rate", 0),
        ("weight_decay", -0.1),
        ("random_state", "seed"),
        ("verbose", "much"),
    ],
)
def test_bad_parameters_are_named(data, parameter, value):
    regressor = TextToVisualRegressor().set_params(**{parameter: value})
    with pytest.raises(ValueError, match=f"'{parameter}' parameter of TextToVisualRegressor must be"):
        regressor.fit(*data)


@both_solvers
def test_vectors_of_another_width(regressor, data):
    fitted = clone(regressor).fit(*data)
    for X in (np.ones((2, 8)), sp.csr_matrix((2, 10))):
        with pytest.raises(ValueError, match=f"X has {X.shape[1]} features, but .* is expecting 9 features"):
            fitted.predict(X)


@pytest.mark.parametrize("method", ["predict", "transform"])
def test_not_fitted(method, data):
    with pytest.raises(NotFittedError, match="TextToVisualRegressor instance is not fitted yet"):
        getattr(TextToVisualRegressor(), method)(data[0])
