"""Networks of timm and in ONNX files describe as the networks that they are do."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from txt2img import ImageFeaturizer
from txt2img.exceptions import UnknownBackboneError, WeightsUnavailableError
from txt2img.images.backbones import part_widths

PICTURES = [
    Image.fromarray(np.random.default_rng(i).integers(0, 256, (80, 100, 3), np.uint8)) for i in range(3)
]


def write_onnx(network, path, side=64):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network.eval(), torch.zeros(1, 3, side, side), path, dynamo=False)
    return str(path)


@pytest.fixture
def maps():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5, stride=4), torch.nn.ReLU())


def test_onnx_file_gives_what_its_module_gives(maps, tmp_path):
    path = write_onnx(maps, tmp_path / "maps.onnx")
    by_file, by_module = (
        ImageFeaturizer(
            backbone, resolution=64, pooling=("mean", "max"), framing=("center", "corners")
        ).fit_transform(PICTURES)
        for backbone in (path, maps)
    )
    assert by_file.shape == (3, 16)
    np.testing.assert_allclose(by_file, by_module, atol=1e-5)


def test_onnx_knows_its_side_and_width_and_may_give_vectors(maps, tmp_path):
    network = torch.nn.Sequential(maps, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    path = write_onnx(network, tmp_path / "vectors.onnx")
    assert part_widths(path) == [8]
    assert ImageFeaturizer(path).fit_transform(PICTURES).shape == (3, 8)
    with pytest.raises(ValueError, match=r"output of shape \(1, 8\).*'mean' vectors"):
        ImageFeaturizer(path, pooling="max").transform(PICTURES)


def test_onnx_goes_with_the_store(maps, tmp_path):
    path = write_onnx(maps, tmp_path / "maps.onnx")
    featurizer = ImageFeaturizer(path, cache=tmp_path / "store")
    np.testing.assert_array_equal(featurizer.transform(PICTURES), featurizer.transform(PICTURES))


def test_onnx_that_is_none(maps, tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    with pytest.raises(UnknownBackboneError, match="no network that ONNX Runtime reads"):
        ImageFeaturizer(str(tmp_path / "bad.onnx")).fit(PICTURES)
    with pytest.raises(UnknownBackboneError, match="cannot be read: No such file"):
        ImageFeaturizer(str(tmp_path / "gone.onnx")).fit(PICTURES)
    path = write_onnx(maps, tmp_path / "maps.onnx")
    with pytest.raises(ValueError, match=r"of an ONNX file.*only its output"):
        ImageFeaturizer(path, layers="middle").fit(PICTURES)


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "vit_tiny_patch16_224"])
def test_timm_width_is_known_without_weights(name):
    timm = pytest.importorskip("timm")
    network = timm.create_model(name, num_classes=0).eval()
    side = timm.data.resolve_model_data_config(network)["input_size"][1]
    with torch.no_grad():
        expected = network(torch.zeros(1, 3, side, side)).shape[1]
    assert ImageFeaturizer(f"timm:{name}").fit(PICTURES).n_features_out_ == expected


def test_timm_descriptors_equal_its_own(monkeypatch):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    network = timm.create_model("resnet18", num_classes=0).eval()
    monkeypatch.setattr(timm, "create_model", lambda *args, **options: network)
    steps = timm.data.create_transform(**timm.data.resolve_model_data_config(network), is_training=False)
    with torch.no_grad():
        expected = network(torch.stack([steps(picture) for picture in PICTURES])).numpy()
    found = ImageFeaturizer("timm:resnet18", normalize=False, precision="float32").transform(PICTURES)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_timm_unknown_and_without_weights(monkeypatch):
    timm = pytest.importorskip("timm")
    with pytest.raises(UnknownBackboneError, match=r"unknown to timm.*'timm:resnet50"):
        ImageFeaturizer("timm:resnet500").fit(PICTURES)

    def unreachable(*args, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(WeightsUnavailableError, match=r"'timm:resnet34'.*no route to host.*HF_HOME"):
        ImageFeaturizer("timm:resnet34").transform(PICTURES)
