"""A regressor that learns where to put the photographs, too, and parts that are told of groups."""

import numpy as np
import pytest
from conftest import mean_colour
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.linear_model import Ridge

from txt2img import (
    CaptionVectorizer,
    DescriptorWhitener,
    ImageFeaturizer,
    TextImageSearch,
    TextToVisualRegressor,
)
from txt2img.search import Query


class Projection(TransformerMixin, BaseEstimator):
    """Project descriptors to five dimensions."""

    def fit(self, X, y=None):
        self.components_ = np.random.default_rng(0).normal(size=(X.shape[1], 5)).astype(np.float32)
        return self

    def transform(self, X):
        assert np.isfinite(X).all()
        return X @ self.components_


class JointRegressor(RegressorMixin, BaseEstimator):
    """Predict the projections."""

    def fit(self, X, y, groups):
        self.groups_ = groups
        self.visual_map_ = Projection().fit(y)
        self.ridge_ = Ridge().fit(X, self.visual_map_.transform(y))
        return self

    def predict(self, X):
        return self.ridge_.predict(X).astype(np.float32)


@pytest.mark.parametrize("whitener", [DescriptorWhitener(), "passthrough"])
def test_visual_map_is_applied_to_every_photograph(captioned, whitener):
    captions, descriptors = captioned
    search = TextImageSearch(whitener=whitener, regressor=JointRegressor())
    search.fit(descriptors[:250], captions[:250]).add(descriptors[250:])
    whitened = descriptors if whitener == "passthrough" else search.whitener_.transform(descriptors)
    assert_allclose(search.transform(descriptors), whitened @ search.regressor_.visual_map_.components_)
    assert search.index_.n_features_in_ == search.bank_.shape[1] == len(search.centre_) == 5
    report = search.evaluate(descriptors[:250], captions[:250], ks=(10,))
    assert report.recall_at(10) > 3 * report.chance["R@10"]
    assert search.query(Query.photograph(descriptors[260]), k=1)[0].id == 10
    assert len(search.describe(descriptors[250:252], k=3)[1]) == 3
    with pytest.raises(ValueError, match="descriptors of 5 numbers but the search was fitted on descriptors"):
        search.add(descriptors[:, :5])


def test_rows_of_nan_stay(scene_files, tmp_path):
    paths, captions = scene_files
    search = TextImageSearch(ImageFeaturizer(mean_colour, on_error="warn"), regressor=JointRegressor())
    search.fit(paths, captions)
    (tmp_path / "broken.jpg").write_bytes(b"no photograph")
    with pytest.warns(UserWarning, match="cannot be read"):
        mapped = search.transform([paths[0], str(tmp_path / "broken.jpg"), paths[1]])
    assert np.isnan(mapped[1]).all()
    assert_allclose(mapped[::2], search.transform(paths[:2]), atol=1e-6)


def test_regressor_without_visual_map_changes_nothing(captioned):
    captions, descriptors = captioned
    search = TextImageSearch(regressor=TextToVisualRegressor()).fit(descriptors, captions)
    assert search.regressor_.visual_map_ is None
    assert_array_equal(search.transform(descriptors), search.whitener_.transform(descriptors))


def test_groups_tell_which_captions_share_a_photograph(captioned):
    captions, descriptors = captioned[0][:20], captioned[1][:20].copy()
    descriptors[7] = descriptors[3]  # two photographs with the same descriptor
    search = TextImageSearch(regressor=JointRegressor()).fit(descriptors, captions)
    assert_array_equal(search.regressor_.groups_, np.repeat(np.arange(20), 5))
    assert search.vectorizer_.n_photographs_ == 20


def test_parts_that_take_no_groups_get_none(captioned):
    captions, descriptors = captioned[0][:20], captioned[1][:20]

    class Plain(CaptionVectorizer):
        def fit(self, captions, y=None):
            return super().fit(captions, y)

        def fit_transform(self, captions, y=None):
            return super().fit_transform(captions, y)

    search = TextImageSearch(vectorizer=Plain(), regressor=Ridge()).fit(descriptors, captions)
    assert search.vectorizer_.n_photographs_ == 20
