"""Damaged files: each is read rightly or reported, soon, and its neighbours stay in place."""

import io
import time
import warnings

import numpy as np
import pytest
from conftest import mean_colour
from PIL import Image, ImageOps, UnidentifiedImageError

from txt2img import ImageFeaturizer
from txt2img.exceptions import UnreadablePhotographError
from txt2img.images import read_photograph

pillow_heif = pytest.importorskip("pillow_heif")
pillow_heif.register_heif_opener()

SECONDS = 2
MAX_PIXELS = 200_000_000


def scene():
    """Draw a gradient with some noise, so that no part of the file is idle."""
    y, x = np.mgrid[:120, :160]
    noise = np.random.default_rng(0).integers(0, 60, (120, 160, 3))
    return Image.fromarray((np.dstack([x, y, x // 2 + y // 2]) + noise).astype(np.uint8))


def good_files():
    """Return the content of a photograph in every format and most of its kinds."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"
    grey = Image.fromarray(np.asarray(scene().convert("L")).astype(np.uint16) << 8)
    kinds = [
        (scene(), "jpeg", {"exif": exif}),
        (scene(), "jpeg", {"progressive": True}),
        (scene().convert("CMYK"), "jpeg", {}),
        (scene(), "mpo", {"save_all": True, "append_images": [scene()]}),
        (scene(), "png", {"exif": exif}),
        (scene().convert("RGBA"), "png", {}),
        (scene().quantize(), "png", {"transparency": 3}),
        (grey, "png", {}),
        (scene(), "webp", {"exif": exif}),
        (scene().convert("RGBA"), "webp", {"lossless": True}),
        (scene(), "tiff", {}),
        (scene(), "tiff", {"compression": "tiff_lzw"}),
        (scene(), "tiff", {"compression": "jpeg"}),
        (scene().convert("1"), "tiff", {"compression": "group4"}),
        (scene(), "gif", {"save_all": True, "append_images": [scene().rotate(90)]}),
        (scene(), "bmp", {}),
        (scene(), "avif", {}),
        (scene(), "heif", {}),
    ]
    files = []
    for image, format, how in kinds:
        file = io.BytesIO()
        image.save(file, format, **how)
        files.append(file.getvalue())
    return files


def damaged_files(n_files, seed):
    """Flip bits in good files, or cut, overwrite, double or exchange pieces of them."""
    rng = np.random.default_rng(seed)
    files = good_files()
    for i in range(n_files):
        content, other = (
            np.frombuffer(files[i % len(files)], np.uint8).copy(),
            files[rng.integers(len(files))],
        )
        start, stop = np.sort(rng.integers(0, len(content) + 1, 2))
        how = rng.integers(6)
        if how <= 1:  # in all of the file, or in its head
            reach = len(content) if how else min(256, len(content))
            content[rng.integers(0, reach, rng.integers(1, 30))] ^= np.uint8(1 << rng.integers(0, 8))
            yield content.tobytes()
        elif how == 2:
            yield content[:start].tobytes()
        elif how == 3:
            content[start:stop] = rng.integers(0, 256, stop - start)
            yield content.tobytes()
        elif how == 4:
            yield content[:stop].tobytes() + content[start:].tobytes()
        else:
            n_bytes = rng.integers(2, 64)
            yield other[:n_bytes] + content[n_bytes:].tobytes()


def decoded_by_pillow(content):
    """Decode as Pillow's users do, with no care for damage."""
    try:
        image = Image.open(io.BytesIO(content))
    except UnidentifiedImageError:  # Pillow looks at the first brand of HEIC only
        image = pillow_heif.open_heif(content).to_pillow()
    image.load()
    try:
        image = ImageOps.exif_transpose(image)
    except Exception:
        image = image.copy()
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("n_files", [360, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damaged_files_are_read_rightly_or_refused_soon(n_files):
    n_read = 0
    for content in damaged_files(n_files, seed=n_files):
        start = time.perf_counter()
        try:
            image = read_photograph(content, max_pixels=MAX_PIXELS)
        except UnreadablePhotographError as error:
            assert str(error).startswith(f"<{len(content)} bytes>: ")
            continue
        finally:
            assert time.perf_counter() - start < SECONDS
        n_read += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.testing.assert_array_equal(image, decoded_by_pillow(content))
    assert 0.1 * n_files < n_read < 0.9 * n_files


def test_damaged_files_leave_their_neighbours_in_place(tmp_path):
    paths = []
    for i, content in enumerate(damaged_files(120, seed=1)):
        paths += [tmp_path / f"{i}_damaged.jpg", tmp_path / f"{i}_good.png"]
        paths[-2].write_bytes(content)
        Image.new("RGB", (8, 8), (i, 2 * i, 0)).save(paths[-1])
    featurizer = ImageFeaturizer(mean_colour, normalize=False, on_error="warn", max_pixels=10**6)
    with pytest.warns(UserWarning, match=r"of 240 photographs cannot be read"):
        found = featurizer.transform(paths)
    np.testing.assert_array_equal(found[1::2], [(i, 2 * i, 0) for i in range(120)])
    failed = [failure.row for failure in featurizer.failures_]
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(found).all(1)), failed)
    assert 10 < len(failed) < 110
    for row in set(range(0, 240, 2)) - set(failed):
        pixels = np.asarray(read_photograph(paths[row], max_pixels=10**6), np.float32)
        np.testing.assert_array_equal(found[row], pixels.mean((0, 1)))
