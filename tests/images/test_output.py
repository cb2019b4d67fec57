import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import mean_colour
from PIL import Image

import txt2img
from txt2img import ImageFeaturizer
from txt2img.exceptions import UnreadablePhotographError


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_file_holds_what_would_be_returned(photograph_files, tmp_path, batch_size):
    photos = [b"", *photograph_files[:3], "gone.jpg", *photograph_files[3:], b"?"]
    featurizer = ImageFeaturizer(mean_colour, batch_size=batch_size, on_error="warn")
    with pytest.warns(UserWarning, match="3 of 9"):
        expected = featurizer.transform(photos)
    with pytest.warns(UserWarning, match="3 of 9"):
        found = featurizer.transform(photos, out=tmp_path / "D.npy")
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.load(tmp_path / "D.npy"), expected)
    assert np.isnan(found[[0, 4, 8]]).all()


def test_file_with_a_store_is_the_same(photograph_files, tmp_path):
    featurizer = ImageFeaturizer("efficientnet_lite0", cache=tmp_path / "store", batch_size=2)
    expected = featurizer.transform(photograph_files[::2])
    photos = [*photograph_files, *photograph_files[::-1]]
    found = featurizer.transform(photos, out=str(tmp_path / "D.npy"))
    np.testing.assert_array_equal(found[:6:2], expected)
    np.testing.assert_array_equal(found[6:], found[:6][::-1])


def test_file_has_its_name_only_when_it_is_complete(photograph_files, tmp_path):
    featurizer = ImageFeaturizer(mean_colour, batch_size=1)
    (tmp_path / "D.npy").write_bytes(b"before")
    with pytest.raises(UnreadablePhotographError):
        featurizer.transform([*photograph_files, b""], out=tmp_path / "D.npy")
    assert (tmp_path / "D.npy").read_bytes() == b"before"
    assert [name for name in os.listdir(tmp_path) if name.endswith(".part")] == []
    featurizer.transform(photograph_files, out=tmp_path / "D.npy")
    assert np.load(tmp_path / "D.npy").shape == (6, 3)


def test_folder_that_is_not_there_is_told_before_anything_is_described(photograph_files, tmp_path):
    def describe(images):
        pytest.fail("something is described")

    with pytest.raises(FileNotFoundError, match="nowhere"):
        ImageFeaturizer(describe).transform(photograph_files, out=tmp_path / "nowhere" / "D.npy")


def test_nothing_readable_is_rows_of_nan_once_fitted(photograph_files, tmp_path):
    featurizer = ImageFeaturizer("efficientnet_lite0", on_error="warn").fit(photograph_files)
    for out in (None, tmp_path / "D.npy"):
        with pytest.warns(UserWarning, match="2 of 2"):
            found = featurizer.transform([b"", "gone.jpg"], out=out)
        assert found.shape == (2, 1280)
        assert np.isnan(found).all()


PROGRAM = """
import sys
import numpy as np
from txt2img import ImageFeaturizer
from txt2img.images import list_photographs

folder, n_photographs, with_store = sys.argv[1:]

def describe(images):
    return np.stack([np.resize(np.asarray(image, np.float32), 2048) for image in images])
describe.cache_key = "pixels"

photos = list_photographs(f"{folder}/photos")[:int(n_photographs)]
cache = f"{folder}/store{n_photographs}" if with_store == "True" else None
ImageFeaturizer(describe, cache=cache).transform(photos, out=f"{folder}/D.npy")
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("with_store", [False, True])
def test_ten_times_the_photographs_take_no_more_memory(tmp_path, with_store):
    (tmp_path / "photos").mkdir()
    for i in range(20_000):
        colour = (i % 256, i // 256, 0)
        Image.new("RGB", (64, 48), colour).save(tmp_path / "photos" / f"{i:05}.bmp")
    environment = os.environ | {"PYTHONPATH": str(Path(txt2img.__file__).parents[1])}
    few, many = (
        int(
            subprocess.run(
                [sys.executable, "-c", PROGRAM, *map(str, (tmp_path, n, with_store))],
                env=environment,
                capture_output=True,
                check=True,
            ).stdout
        )
        for n in (2_000, 20_000)
    )
    assert many < 1.1 * few
