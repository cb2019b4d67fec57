"""Rewritten networks give what the networks give, whatever batch a photograph is in."""

import warnings

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from txt2img import ImageFeaturizer
from txt2img.datasets import load_sample_photographs
from txt2img.images import load_backbone
from txt2img.images.backbones import _cut_classifier
from txt2img.images.fused import fuse
from txt2img.images.network_reader import NetworkReader, one_core

SMALL = ["mobilenet_v2", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1", "efficientnet_b0"]
OTHERS = [
    *("alexnet", "convnext_tiny", "densenet121", "googlenet", "inception_v3", "maxvit_t", "mnasnet0_5"),
    *("mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet50", "resnext50_32x4d"),
    *("swin_t", "swin_v2_t", "vgg11_bn", "vit_b_32", "wide_resnet50_2"),
]
CPU = torch.device("cpu")


def with_random_norms(name):
    """Build a network with random weights and batch norms that do something."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torchvision.models.get_model(name, weights=None).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for values, low, high in (
                (module.running_mean, -0.1, 0.1),
                (module.running_var, 0.5, 1.5),
                (module.weight, 0.5, 1.5),
                (module.bias, -0.1, 0.1),
            ):
                torch.nn.init.uniform_(values, low, high)
    _cut_classifier(network)
    return network


def reader(name, network, layers=("last",), pooling=("mean",)):
    return NetworkReader(name, network, (0.5,) * 3, (0.2,) * 3, layers, pooling)


def pixels(seed, side=224, n=1):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), dtype=np.uint8))


def check(read, side=224, tolerance=1e-4):
    """Check that a function is rewritten, and gives the same on other pictures than it was rewritten with."""
    with one_core():
        fused = fuse(read, pixels(0, side), tolerance)
    assert fused is not read
    with torch.inference_mode(), one_core():
        for expected, found in zip(read(pixels(1, side)), fused(pixels(1, side)), strict=True):
            error = (found - expected).abs().max() / expected.abs().max()
            assert error < tolerance
    return fused


@pytest.mark.parametrize("name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_networks_of_torchvision(name):
    side = 299 if name == "inception_v3" else 224 if name in OTHERS else 96
    fused = check(reader(name, with_random_norms(name)).on(CPU, "float32"), side)
    if name in SMALL:
        assert "batch_norm" not in str(fused.inlined_graph)
        assert "oneDNNFusionGroup" in str(fused.graph_for(pixels(2, side)))


def test_offline_network_with_several_layers():
    network = load_backbone("efficientnet_lite0").network
    parts = reader("efficientnet_lite0", network, ("middle", "last"), ("mean", "max"))
    check(parts.on(CPU, "float32"), 96)


def test_a_network_in_bfloat16():
    fused = check(reader("resnet18", with_random_norms("resnet18")).on(CPU, "bfloat16"), 64, tolerance=0.05)
    assert "batch_norm" not in str(fused.inlined_graph)


@pytest.mark.parametrize("layer", ["conv1", "bn1", "relu", "layer1.0.conv2", "layer1.0.bn2", "layer1"])
def test_any_layer_can_be_read(layer):
    check(reader("resnet18", with_random_norms("resnet18"), (layer, "last")).on(CPU, "float32"), 64)


def test_convolution_that_two_read_is_not_folded():
    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.norm = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)
            self.norm.running_var.fill_(9)

        def forward(self, pictures):
            found = self.convolution(pictures)
            return self.norm(found).relu() + found.abs()

    check(reader("twice", Twice().eval()).on(CPU, "float32"), 32)


@pytest.mark.parametrize("sides, is_folded", [((2, 2, 1, 1), True), ((0, 1, 0, 1), False)])
def test_convolutions_put_zeros_around_maps_themselves(sides, is_folded):
    network = torch.nn.Sequential(torch.nn.ZeroPad2d(sides), torch.nn.Conv2d(3, 4, (5, 3), padding=(0, 1)))
    fused = check(reader("padded", network.eval()).on(CPU, "float32"), 32)
    assert ("pad" in str(fused.inlined_graph)) != is_folded


def test_code_that_looks_at_the_picture_is_left_alone():
    class Choosy(torch.nn.Module):
        def forward(self, pictures):
            return pictures if pictures.mean() > 0 else -pictures

    read = reader("choosy", Choosy()).on(CPU, "float32")
    assert fuse(read, pixels(0, 32)) is read


def test_descriptor_is_the_same_to_the_last_bit_in_any_company():
    rng = np.random.default_rng(0)
    photos = [Image.fromarray(rng.integers(0, 256, (90, 120, 3), np.uint8)) for _ in range(7)]
    featurizer = ImageFeaturizer("efficientnet_lite0", resolution=96)
    together = featurizer.transform(photos)
    np.testing.assert_array_equal(featurizer.set_params(batch_size=2).transform(photos[::-1])[::-1], together)
    np.testing.assert_array_equal(featurizer.transform(photos[3:4])[0], together[3])
    again = featurizer.transform([photos[5], b"no photograph", photos[1]][::2])
    np.testing.assert_array_equal(again, together[[5, 1]])


def test_threads_of_torch_are_as_before():
    before = torch.get_num_threads()
    ImageFeaturizer("efficientnet_lite0", resolution=64).transform([np.zeros((9, 9, 3), np.uint8)])
    assert torch.get_num_threads() == before


def test_bfloat16_is_close_and_float32_all_the_same():
    photos = load_sample_photographs("en").photos[:4]
    single, half = (
        ImageFeaturizer("efficientnet_lite2", precision=precision).transform(photos)
        for precision in ("float32", "bfloat16")
    )
    assert half.dtype == np.float32
    cosines = (single * half).sum(axis=1)
    assert 0.9992 < cosines.mean() < 1 - 1e-7


def test_in_bfloat16_the_first_two_convolutions_are_in_float32():
    network = torch.nn.Sequential(*(torch.nn.Conv2d(3, 3, 3) for _ in range(4))).eval()
    dtypes = []
    for layer in network:
        layer.register_forward_hook(lambda module, given, found: dtypes.append(found.dtype))
    reader("four", network).on(CPU, "bfloat16")(pixels(0, 16))
    assert dtypes == 2 * [torch.float32] + 2 * [torch.bfloat16]
