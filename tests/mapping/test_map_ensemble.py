import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import cosine_similarity

from txt2img import TextToVisualRegressor
from txt2img.mapping import MapEnsemble, VisualMap
from txt2img.persistence import load, save

rng = np.random.default_rng(0)
PHOTOGRAPH = np.repeat(np.arange(30), 2)
X = sp.csr_matrix(rng.random((60, 20)) * (rng.random((60, 20)) < 0.3)).astype(np.float32)
DESCRIPTORS = rng.normal(size=(30, 6)).astype(np.float32)
Y = DESCRIPTORS[PHOTOGRAPH]


def ensemble(**parameters):
    ridge = TextToVisualRegressor(alpha=1.0)
    network = TextToVisualRegressor(
        "network", loss="infonce", hidden=None, n_components=4, epochs=2, random_state=0
    )
    return MapEnsemble([("ridge", ridge), ("network", network)], **{"random_state": 0} | parameters)


def cosines(fitted):
    seen = DESCRIPTORS if fitted.visual_map_ is None else fitted.visual_map_.transform(DESCRIPTORS)
    return cosine_similarity(fitted.predict(X), seen)


@pytest.mark.parametrize("weights", [None, [3, 1]])
def test_one_cosine_is_the_weighted_mean_of_the_calibrated_cosines(weights):
    fitted = ensemble(weights=weights).fit(X, Y)
    calibrated = [cosines(each) for each in fitted.estimators_]
    spread = np.array([each[:, PHOTOGRAPH].std() for each in calibrated])
    shares = (np.ones(2) if weights is None else np.array(weights)) / spread
    expected = np.tensordot(shares / shares.sum(), calibrated, axes=1)
    assert_allclose(cosines(fitted), expected, atol=1e-5)


def test_one_map_alone_ranks_as_it_does_by_itself():
    ridge = TextToVisualRegressor(alpha=1.0)
    assert_allclose(cosines(MapEnsemble([("ridge", ridge)]).fit(X, Y)), cosines(ridge.fit(X, Y)), atol=1e-5)


def test_ensembles_nest():
    nested = MapEnsemble([("both", ensemble()), ("ridge", TextToVisualRegressor())], random_state=0).fit(X, Y)
    assert_allclose(nested.predict(X).shape[1], nested.visual_map_.transform(DESCRIPTORS).shape[1])
    parts = [cosines(each) for each in nested.estimators_]
    spread = np.array([each[:, PHOTOGRAPH].std() for each in parts])
    expected = np.tensordot((1 / spread) / (1 / spread).sum(), parts, axes=1)
    assert_allclose(cosines(nested), expected, atol=1e-5)


def test_parameters_of_the_maps_are_reached_by_name():
    changed = clone(ensemble()).set_params(ridge__alpha=5.0, network="passed on")
    assert changed.get_params()["ridge__alpha"] == 5.0
    assert dict(changed.estimators)["network"] == "passed on"
    assert dict(ensemble().estimators)["ridge"].alpha == 1.0


def test_groups_reach_the_maps_that_take_them():
    seen = []

    class Watching(TextToVisualRegressor):
        def fit(self, X, y, groups=None):
            seen.append(groups)
            return super().fit(X, y)

    class Plain(TextToVisualRegressor):
        def fit(self, X, y):
            return super().fit(X, y)

    MapEnsemble([("watching", Watching()), ("plain", Plain())]).fit(X, Y, groups=PHOTOGRAPH)
    assert_allclose(seen[0], PHOTOGRAPH)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"weights": [1]}, "must be 2 positive numbers"),
        ({"weights": [1, -1]}, "must be 2 positive numbers"),
        ({"estimators": []}, "estimators is empty"),
        ({"estimators": [("a", TextToVisualRegressor()), ("a", TextToVisualRegressor())]}, "unique"),
    ],
)
def test_wrong_parameters_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        ensemble().set_params(**wrong).fit(X, Y)


def test_constant_predictions_do_not_break_the_calibration():
    fitted = ensemble().fit(sp.csr_matrix(np.ones((60, 3), np.float32)), np.ones((60, 6), np.float32))
    assert np.isfinite(fitted.predict(sp.csr_matrix(np.ones((2, 3), np.float32)))).all()


def test_saved_and_loaded(tmp_path):
    fitted = ensemble().fit(X, Y)
    save(fitted, tmp_path / "ensemble")
    loaded = load(tmp_path / "ensemble")
    assert_allclose(loaded.predict(X), fitted.predict(X), atol=0)
    assert_allclose(
        loaded.visual_map_.transform(DESCRIPTORS), fitted.visual_map_.transform(DESCRIPTORS), atol=0
    )


def test_visual_map_puts_spaces_side_by_side_and_checks_widths():
    matrix = rng.normal(size=(6, 3))
    mapped = VisualMap([matrix, None], [2.0, 1.0]).fit(DESCRIPTORS).transform(DESCRIPTORS)
    assert mapped.shape == (30, 9)
    assert_allclose(np.linalg.norm(mapped[:, :3], axis=1), 2, rtol=1e-5)
    assert_allclose(cosine_similarity(mapped[:, 3:]), cosine_similarity(DESCRIPTORS), atol=1e-5)
    with pytest.raises(
        ValueError, match="X has 5 features, but the visual map was learned on descriptors of 6"
    ):
        VisualMap([matrix]).transform(DESCRIPTORS[:, :5])
    assert clone(VisualMap([matrix])).transform(DESCRIPTORS).shape == (30, 3)


def test_names_of_the_columns_are_known_with_any_regressor():
    fitted = MapEnsemble([("ours", TextToVisualRegressor()), ("theirs", Ridge())]).fit(X, Y)
    assert len(fitted.get_feature_names_out()) == fitted.predict(X).shape[1] == 12
    assert len(fitted.visual_map_.get_feature_names_out()) == 12
