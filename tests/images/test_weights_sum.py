"""A featurizer knows the weights that it has described photographs with."""

import pytest
from PIL import Image

from txt2img import ImageFeaturizer, persistence
from txt2img.exceptions import WeightsUnavailableError
from txt2img.images import settings

PHOTOS = [Image.new("RGB", (64, 64), "red")]


def test_weights_are_recorded_saved_and_compared(tmp_path, monkeypatch):
    featurizer = ImageFeaturizer("efficientnet_lite0").fit(PHOTOS)
    assert featurizer.weights_sum_ is None
    before = featurizer.transform(PHOTOS)
    assert len(featurizer.weights_sum_) == 64
    persistence.save(featurizer, tmp_path)
    loaded = persistence.load(tmp_path)
    assert loaded.transform(PHOTOS).tolist() == before.tolist()
    monkeypatch.setattr("txt2img.images.featurizer.sum_of_known_weights", lambda network: "0" * 64)
    with pytest.raises(WeightsUnavailableError, match="'efficientnet_lite0' has other weights here"):
        loaded.transform(PHOTOS)
    assert loaded.fit(PHOTOS).transform(PHOTOS).tolist() == before.tolist()


def test_sum_is_that_of_the_numbers():
    torch = pytest.importorskip("torch")
    network, other = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    assert settings.sum_of_known_weights(network) != settings.sum_of_known_weights(other)
    third = torch.nn.Linear(3, 2)
    third.load_state_dict(network.state_dict())
    assert settings.sum_of_known_weights(third) == settings.sum_of_known_weights(network)


def test_functions_have_no_weights():
    featurizer = ImageFeaturizer(lambda images: [[1.0, 2.0]] * len(images)).fit(PHOTOS)
    featurizer.transform(PHOTOS)
    assert featurizer.weights_sum_ is None
