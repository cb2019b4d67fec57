"""A full disk is told, whatever is being written, and what was there before is whole."""

import signal
from contextlib import contextmanager

import numpy as np
import pytest
from conftest import mean_colour
from PIL import Image

from txt2img import ImageFeaturizer, ImageIndex
from txt2img.evaluation import contact_sheet
from txt2img.exceptions import SavedFileError
from txt2img.images import DescriptorStore

resource = pytest.importorskip("resource")


@contextmanager
def full_disk(room):
    """Let no file grow beyond so many bytes, which the system tells as it tells of a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def wide(images):
    """Describe pictures by many numbers."""
    return np.repeat(mean_colour(images), 1000, axis=1)


wide.cache_key = "many numbers"


@pytest.fixture
def photographs():
    return [Image.new("RGB", (4, 4), (i, 2 * i, 0)) for i in range(40)]


@pytest.mark.parametrize("room", [10, 2000, 30_000])
def test_saving(tmp_path, room):
    rows = np.random.default_rng(0).normal(size=(100, 90))
    ImageIndex().fit(rows[:30]).save(tmp_path)
    with pytest.raises(OSError, match=r"File too large: '.*\.(npy|json)'"), full_disk(room):
        ImageIndex().fit(rows).save(tmp_path)
    assert len(ImageIndex.load(tmp_path, verify=True)) == 30
    assert not list(tmp_path.glob("*.part"))
    ImageIndex().fit(rows).save(tmp_path)
    assert len(ImageIndex.load(tmp_path)) == 100


@pytest.mark.parametrize("room", [10, 2000, 200_000])
def test_descriptors_written_to_a_file(photographs, tmp_path, room):
    featurizer, out = ImageFeaturizer(wide), tmp_path / "descriptors.npy"
    before = np.array(featurizer.transform(photographs[:3], out=out))
    with pytest.raises(OSError, match=r"File too large: '.*descriptors\.npy'"), full_disk(room):
        featurizer.transform(photographs, out=out)
    np.testing.assert_array_equal(np.load(out), before)
    assert [file.name for file in tmp_path.iterdir()] == [out.name]


def test_descriptors_in_a_store(photographs, tmp_path):
    featurizer = ImageFeaturizer(wide, cache=tmp_path, batch_size=4)
    before = featurizer.transform(photographs[:3])
    with DescriptorStore(tmp_path) as store:
        n_before = len(store)
    told = r"descriptors\.sqlite cannot be used.*If the disk is"
    with pytest.raises(SavedFileError, match=told), full_disk(150_000):
        featurizer.transform(photographs)
    with DescriptorStore(tmp_path) as store:
        assert n_before <= len(store) < 40
    np.testing.assert_array_equal(featurizer.transform(photographs[:3]), before)
    assert np.isfinite(featurizer.transform(photographs)).all()


def test_a_contact_sheet(photographs, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "sheet.png"
    contact_sheet([("red", [(photographs[0], "1", True)])], path)
    before = path.read_bytes()
    with pytest.raises(OSError, match="File too large"), full_disk(500):
        contact_sheet([("blue", [(photographs[1], "1", None)])], path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
