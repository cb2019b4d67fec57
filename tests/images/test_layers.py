"""Layers and pooling: what is read from a network, against the same computed by hand."""

import threading

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from txt2img import ImageFeaturizer
from txt2img.datasets import load_sample_photographs
from txt2img.images import load_backbone
from txt2img.images.backbones import part_widths
from txt2img.persistence import load, save

# Width of the last stage but one, from the papers, and of the last map.
KNOWN = {
    "resnet18": (256, 512),
    "resnet50": (1024, 2048),
    "resnext50_32x4d": (1024, 2048),
    "wide_resnet50_2": (1024, 2048),
    "mobilenet_v2": (160, 1280),
    "mobilenet_v3_large": (112, 960),
    "mobilenet_v3_small": (48, 576),
    "mnasnet1_0": (192, 1280),
    "shufflenet_v2_x1_0": (232, 1024),
    "efficientnet_b0": (192, 1280),
    "efficientnet_v2_s": (160, 1280),
    "efficientnet_v2_m": (304, 1280),
    "efficientnet_lite0": (192, 1280),
    "efficientnet_lite1": (192, 1280),
    "efficientnet_lite2": (208, 1280),
    "convnext_tiny": (384, 768),
    "densenet121": (1024, 1024),
    "maxvit_t": (256, 512),
    "googlenet": (832, 1024),
    "inception_v3": (768, 2048),
    "alexnet": (256, 256),
    "vgg11_bn": (512, 512),
}


@pytest.fixture(scope="module")
def photographs():
    return [Image.open(path).convert("RGB") for path in load_sample_photographs().photos[:3]]


def cut(build, seed=0):
    """Build a network of torchvision with random weights, and no last layer."""
    torch.manual_seed(seed)
    network = build(weights=None).eval()
    name = "fc" if hasattr(network, "fc") else "heads" if hasattr(network, "heads") else "classifier"
    setattr(network, name, torch.nn.Identity())
    return network


@pytest.fixture(scope="module")
def resnet():
    return cut(torchvision.models.resnet18)


def batch_of(photographs):
    """Prepare photographs as torchvision does, in squares of 96 pixels in place of 224."""
    steps = torchvision.transforms.Compose(
        [
            torchvision.transforms.Resize(110),
            torchvision.transforms.CenterCrop(96),
            torchvision.transforms.ToTensor(),
            torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    return torch.stack([steps(photograph) for photograph in photographs])


def pooled_by_hand(*maps):
    parts = [part for each in maps for part in (each.mean((2, 3)), each.flatten(2).max(2).values)]
    return torch.hstack(parts).detach().numpy()


@torch.no_grad()
def test_parts_are_the_pooled_maps_layer_by_layer(resnet, photographs):
    third = torch.nn.Sequential(*list(resnet.children())[:7])(batch_of(photographs))
    last = resnet.layer4(third)
    featurizer = ImageFeaturizer(
        resnet, layers=("layer3", "last"), pooling=("mean", "max"), resolution=96, batch_size=2
    ).set_params(normalize=False, precision="float32")
    found = featurizer.fit_transform(photographs)
    np.testing.assert_allclose(found, pooled_by_hand(third, last), rtol=1e-3, atol=1e-4)
    assert featurizer.part_widths_ == [256, 256, 512, 512]
    turned = ImageFeaturizer(
        resnet, layers=["last", "layer3"], pooling="max", resolution=96, normalize=False, precision="float32"
    ).fit_transform(photographs)
    np.testing.assert_allclose(turned, np.hstack([found[:, 1024:], found[:, 256:512]]), rtol=1e-3)


@torch.no_grad()
def test_offline_network_by_name(photographs):
    network = load_backbone("efficientnet_lite0").network
    blocks = {}
    handle = network._blocks[14].register_forward_hook(lambda m, i, output: blocks.update(last=output))
    pixels = np.stack([np.asarray(p.resize((96, 96), Image.BICUBIC), np.float32) for p in photographs])
    last = network.extract_features(torch.from_numpy((pixels - 127) / 128).permute(0, 3, 1, 2))
    handle.remove()
    featurizer = ImageFeaturizer(
        "efficientnet_lite0", layers=("middle", "last"), pooling=("mean", "max"), framing="whole"
    ).set_params(resolution=96, normalize=False, precision="float32")
    found = featurizer.fit_transform(photographs)
    np.testing.assert_allclose(found, pooled_by_hand(blocks["last"], last), rtol=1e-3, atol=1e-3)
    assert found.shape == (3, featurizer.n_features_out_)


@torch.no_grad()
def test_last_map_includes_functions_that_are_no_modules(photographs):
    torch.manual_seed(0)
    network = torchvision.models.DenseNet(4, (2, 2, 2, 2), 8).eval()
    network.classifier = torch.nn.Identity()
    expected = network.features(batch_of(photographs)).relu().amax((2, 3))
    featurizer = ImageFeaturizer(network, pooling="max", resolution=96, normalize=False, precision="float32")
    found = featurizer.transform(photographs)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_maximum_is_that_of_the_map_that_is_averaged(photographs):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 9, stride=8), torch.nn.ReLU())
    averaged = torch.nn.Sequential(network, torch.nn.AdaptiveAvgPool2d(1))
    flattened = torch.nn.Sequential(averaged, torch.nn.Flatten())
    by_map, by_average, by_vector = (
        ImageFeaturizer(each, pooling=("mean", "max"), normalize=False).fit_transform(photographs)
        for each in (network, averaged, flattened)
    )
    np.testing.assert_allclose(by_average, by_map, rtol=1e-5)
    np.testing.assert_allclose(by_vector, by_map, rtol=1e-5)
    assert (by_map[:, 4:] >= by_map[:, :4]).all()


@pytest.mark.parametrize("name", KNOWN)
def test_widths_are_known_without_weights(name):
    middle, last = KNOWN[name]
    found = part_widths(name, layers=("middle", "last"), pooling=("mean", "max"))
    (plain,) = part_widths(name)
    assert found == [middle, middle, plain, last]


def test_middle_of_regnets():
    from txt2img.images.layers import read_parts

    network = torchvision.models.regnet_x_400mf(weights=None).eval()
    with torch.inference_mode():
        parts = read_parts("regnet_x_400mf", network, torch.zeros(1, 3, 64, 64), ("middle",), ("mean",))
    assert [part.shape for part in parts] == [(1, 160)]


def test_parts_count_alike_and_the_whole_has_length_one(resnet, photographs):
    featurizer = ImageFeaturizer(resnet, layers=("layer2", "layer3", "last"), resolution=96)
    found = featurizer.fit_transform(photographs)
    raw = clone_with(featurizer, normalize=False).fit_transform(photographs)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    for part, raw_part in zip(np.split(found, [128, 384], axis=1), np.split(raw, [128, 384], axis=1)):
        lengths = np.linalg.norm(raw_part, axis=1, keepdims=True)
        np.testing.assert_allclose(part, raw_part / lengths / np.sqrt(3), rtol=1e-4)


def clone_with(featurizer, **parameters):
    return ImageFeaturizer(**{**featurizer.get_params(), **parameters})


def test_names_tell_the_part(resnet, photographs):
    featurizer = ImageFeaturizer(resnet, layers=("layer3", "last"), pooling=("max",)).fit(photographs)
    names = featurizer.get_feature_names_out()
    assert len(names) == len(set(names)) == featurizer.n_features_out_ == 768
    assert list(names[[0, 255, 256]]) == [
        "imagefeaturizer_layer3_max0",
        "imagefeaturizer_layer3_max255",
        "imagefeaturizer_last_max0",
    ]


def test_saved_and_loaded(tmp_path, photographs):
    featurizer = ImageFeaturizer(
        "efficientnet_lite0", layers=("middle", "last"), framing=("whole", "center"), resolution=96
    ).fit(photographs)
    save(featurizer, tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert list(loaded.get_feature_names_out()) == list(featurizer.get_feature_names_out())
    np.testing.assert_array_equal(loaded.transform(photographs[:1]), featurizer.transform(photographs[:1]))


def test_a_network_shared_by_threads_mixes_nothing_up(photographs):
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 7, stride=2), torch.nn.ReLU(), torch.nn.Conv2d(6, 4, 3)
    )
    jobs = [
        (
            ImageFeaturizer(network, layers=layers, pooling="max", batch_size=1, resolution=64),
            [photograph] * 9,
        )
        for layers, photograph in zip(("0", "1", ("0", "last")), photographs)
    ]
    alone = [featurizer.transform(photos) for featurizer, photos in jobs]
    together = [None] * len(jobs)

    def work(i):
        together[i] = np.array([jobs[i][0].transform(jobs[i][1]) for _ in range(10)])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for expected, found in zip(alone, together):
        np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=1e-5)
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("vit_b_16", {"pooling": "max"}, "layer 'last' of backbone 'vit_b_16' gives no map"),
        ("vit_b_16", {"layers": "middle"}, "layer 'middle' of backbone 'vit_b_16' is unknown.*'encoder'"),
        ("vit_b_16", {"layers": "encoder.ln"}, r"'encoder.ln' .* gives an output of shape \(1, 197, 768\)"),
        ("swin_t", {"layers": "features.5"}, r"'features.5' .* gives an output of shape \(1, 14, 14, 384\)"),
        ("resnet18", {"layers": "layer33"}, "layer 'layer33' of backbone 'resnet18' is unknown.*'layer3'"),
        ("resnet18", {"layers": "fc", "pooling": "max"}, r"'fc' .* shape \(1, 512\), and pooling 'max'"),
        ("googlenet", {"layers": "aux1"}, "backbone 'googlenet' does not run 'aux1'"),
        ("vit_b_16", {"resolution": 300}, "'vit_b_16' cannot take pictures of resolution=300"),
        ("maxvit_t", {"resolution": 300}, "'maxvit_t' cannot take pictures of resolution=300"),
    ],
)
def test_what_a_network_does_not_have_is_told_before_its_weights_are_loaded(name, parameters, message):
    with pytest.raises(ValueError, match=message):
        ImageFeaturizer(name, **parameters).fit(["photograph.jpg"])


def test_module_has_no_middle_that_is_known(resnet, photographs):
    with pytest.raises(
        ValueError, match=r"layer 'middle' of backbone 'ResNet' is unknown.*'layer1', 'layer2'"
    ):
        ImageFeaturizer(resnet, layers="middle").fit(photographs)
