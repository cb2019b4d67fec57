"""Framing, mirror images and resolution: in which squares a network sees a photograph."""

import numpy as np
import pytest
import torch
import torchvision
from conftest import mean_colour
from PIL import Image

from txt2img import ImageFeaturizer
from txt2img.datasets import load_sample_photographs


@pytest.fixture(scope="module")
def photographs():
    return [Image.open(path).convert("RGB") for path in load_sample_photographs().photos[:5]]


class Recorder(torch.nn.Module):
    """A network that is not blind to left and right, and remembers the sizes of its batches."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.convolution = torch.nn.Conv2d(3, 8, 16, stride=16)
        self.shapes = []

    def forward(self, batch):
        self.shapes.append(tuple(batch.shape))
        return self.convolution(batch).relu()


@torch.no_grad()
def test_ten_crops_as_torchvision_cuts_them(photographs):
    network = Recorder()
    crops = torchvision.transforms.Compose(
        [torchvision.transforms.Resize(256), torchvision.transforms.TenCrop(224)]
    )
    to_tensor = torchvision.transforms.Compose(
        [
            torchvision.transforms.ToTensor(),
            torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    expected = [
        network(torch.stack([to_tensor(crop) for crop in crops(photograph)])).mean((0, 2, 3))
        for photograph in photographs
    ]
    found = ImageFeaturizer(
        network, framing=("center", "corners"), mirrored=True, normalize=False
    ).fit_transform(photographs)
    np.testing.assert_allclose(found, np.stack(expected), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 8, 13, 100])
def test_views_of_a_photograph_are_averaged_and_stay_with_it(photographs, batch_size):
    network = Recorder()

    def describe(photos, framing, **parameters):
        featurizer = ImageFeaturizer(network, framing=framing, normalize=False, **parameters)
        return featurizer.transform(photos)

    flipped = [photograph.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for photograph in photographs]
    alone = [describe(photos, "whole") for photos in (photographs, flipped)]
    corners = describe(photographs, "corners")
    np.testing.assert_allclose(
        describe(photographs, "whole", mirrored=True, batch_size=batch_size),
        (alone[0] + alone[1]) / 2,
        rtol=1e-3,
        atol=1e-4,
    )
    np.testing.assert_allclose(
        describe(photographs, ("corners", "whole"), batch_size=batch_size),
        (4 * corners + alone[0]) / 5,
        rtol=1e-4,
    )


def test_processor_sees_one_photograph_at_a_time(photographs):
    network = Recorder()
    ImageFeaturizer(network, framing=("center", "whole"), mirrored=True, batch_size=9).transform(photographs)
    assert [shape[0] for shape in network.shapes] == [4] * len(photographs)


def test_corners_are_pooled_one_by_one_before_the_average():
    dark = np.zeros((256, 256, 3), np.uint8)
    dark[:20, :20] = 255
    peaks, mean = (
        ImageFeaturizer(torch.nn.Identity(), framing="corners", pooling=pooling, normalize=False).transform(
            [dark]
        )[0]
        for pooling in ("max", "mean")
    )
    black, white = (
        (np.array([value] * 3) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225] for value in (0, 1)
    )
    np.testing.assert_allclose(peaks, (white + 3 * black) / 4, rtol=1e-4)
    np.testing.assert_allclose(mean, black + (white - black) * (20 / 224) ** 2 / 4, rtol=1e-4)


@pytest.mark.parametrize("framing", ["center", "whole"])
def test_resolution_changes_the_side_and_not_what_is_seen(photographs, framing):
    network = Recorder()
    ImageFeaturizer(network, framing=framing, resolution=320).fit_transform(photographs)
    assert {shape[2:] for shape in network.shapes} == {(320, 320)}
    colours = [
        ImageFeaturizer(
            torch.nn.Identity(), framing=framing, resolution=resolution, normalize=False
        ).transform(photographs)
        for resolution in (None, 112, 448)
    ]
    np.testing.assert_allclose(colours[1], colours[0], atol=0.02)
    np.testing.assert_allclose(colours[2], colours[0], atol=0.02)


@pytest.mark.parametrize(
    "parameters",
    [
        {"layers": "middle"},
        {"layers": ("last", "layer3")},
        {"pooling": "max"},
        {"resolution": 300},
        {"framing": ("center", "whole")},
        {"framing": "corners"},
        {"mirrored": True},
    ],
)
def test_what_a_callable_cannot_do(photographs, parameters):
    (name,) = parameters
    for method in ("fit", "transform"):
        with pytest.raises(ValueError, match=f"{name}=.* does not go with a callable as backbone"):
            getattr(ImageFeaturizer(mean_colour, **parameters), method)(photographs)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"layers": ()}, r"layers=\(\) must be a name or a tuple of different names"),
        ({"layers": ("last", "last")}, "layers=.* must be a name or a tuple of different names"),
        ({"layers": (3,)}, r"layers=\(3,\) must be a name or a tuple of different names"),
        ({"pooling": ("mean", "median")}, "pooling=.* must be made of 'mean', 'max'"),
        ({"framing": ("center", "left")}, "framing=.* must be made of 'center', 'whole', 'corners'"),
        ({"pooling": "median"}, "The 'pooling' parameter"),
        ({"resolution": 32}, "The 'resolution' parameter"),
        ({"mirrored": "yes"}, "The 'mirrored' parameter"),
    ],
)
def test_parameters_are_checked(photographs, parameters, message):
    with pytest.raises(ValueError, match=message):
        ImageFeaturizer("efficientnet_lite0", **parameters).fit(photographs)
