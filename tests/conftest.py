"""Shared small data: photographs as files, captions with descriptors that the words explain."""

import numpy as np
import pytest
from PIL import Image

from txt2img import TextImageSearch
from txt2img.datasets import load_sample_photographs, make_captioned_descriptors, make_captioned_scenes


@pytest.fixture(autouse=True)
def no_download(monkeypatch, tmp_path_factory):
    """Keep every test off the network and out of the user's cache of weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.getbasetemp() / "torch"))


@pytest.fixture(scope="session")
def captioned():
    """Return captions (lists of 5) and descriptors of 300 made-up photographs."""
    return make_captioned_descriptors(300, 5, random_state=0)


@pytest.fixture
def photograph_files(tmp_path):
    """Return paths of six photographs of different sizes, each of one colour."""
    paths = []
    for i, colour in enumerate(["red", "lime", "blue", "yellow", "black", "white"]):
        path = tmp_path / f"{i}_{colour}.png"
        Image.new("RGB", (60 + 10 * i, 80), colour).save(path)
        paths.append(str(path))
    return paths


@pytest.fixture(scope="session")
def scene_files(tmp_path_factory):
    """Return paths of 60 drawn scenes, and their captions (lists of 5)."""
    folder = tmp_path_factory.mktemp("scenes")
    images, captions = make_captioned_scenes(60, 5, random_state=0)
    paths = [str(folder / f"{i:02}.png") for i in range(60)]
    for image, path in zip(images, paths):
        image.save(path)
    return paths, captions


@pytest.fixture(scope="session")
def class_name_search():
    """Return a search that knows class names only, with the sample photographs in its gallery."""
    return TextImageSearch.from_class_names().add(load_sample_photographs().photos)


def mean_colour(images):
    """Describe pictures by their mean colour: a backbone whose answers are known."""
    return np.stack([np.asarray(image, np.float32).mean((0, 1)) for image in images])
