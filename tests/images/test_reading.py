import io
import os

import numpy as np
import pytest
from PIL import Image

from txt2img.exceptions import UnreadablePhotographError
from txt2img.images import list_photographs, read_photograph


def read(photograph, max_pixels=10_000_000):
    return read_photograph(photograph, max_pixels=max_pixels)


def picture(width=40, height=30):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".PNG"])
def test_lossless_files_are_read_pixel_by_pixel(tmp_path, suffix):
    picture().save(tmp_path / f"photo{suffix}")
    np.testing.assert_array_equal(read(tmp_path / f"photo{suffix}"), picture())


@pytest.mark.parametrize("form", ["str", "path", "bytes", "pil", "array"])
def test_every_form_of_a_photograph_gives_the_same_pixels(tmp_path, form):
    path = tmp_path / "photo.png"
    picture().save(path)
    photograph = {
        "str": str(path),
        "path": path,
        "bytes": path.read_bytes(),
        "pil": picture(),
        "array": np.asarray(picture()),
    }[form]
    np.testing.assert_array_equal(read(photograph), picture())


def test_picture_of_the_caller_stays_open():
    image = picture()
    read(image)
    assert image.getpixel((0, 0)) == picture().getpixel((0, 0))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    upright = Image.new("RGB", (40, 20), "white")
    upright.paste("red", (0, 0, 20, 10))
    undo = {
        1: [],
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }[orientation]
    stored = upright
    for step in undo:
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    stored.save(file, "png", exif=exif)
    np.testing.assert_array_equal(read(file.getvalue()), upright)


def test_transparent_pixels_are_laid_on_white():
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert read(image).getpixel((0, 0)) == (255, 255, 255)


def test_palette_with_transparency_and_grey_and_cmyk_become_rgb():
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([10, 20, 30])
    assert read(palette).getpixel((0, 0)) == (10, 20, 30)
    assert read(Image.new("L", (4, 4), 77)).getpixel((0, 0)) == (77, 77, 77)
    assert read(Image.new("CMYK", (4, 4), (0, 0, 0, 255))).getpixel((0, 0)) == (0, 0, 0)


def test_sixteen_bit_greys_are_scaled_not_clipped(tmp_path):
    grey = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(np.asarray(read(tmp_path / "grey.png"))[..., 0], grey >> 8)


def test_first_frame_of_an_animation(tmp_path):
    first = Image.new("RGB", (8, 8), "red")
    first.save(tmp_path / "a.gif", save_all=True, append_images=[Image.new("RGB", (8, 8), "blue")])
    assert read(tmp_path / "a.gif").getpixel((3, 3)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "not a photograph"), (b"hello", "not a photograph"), (b"\x89PNG\r\n\x1a\nrest", ".")],
)
def test_content_that_is_no_photograph_is_named_with_the_reason(tmp_path, content, reason):
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(UnreadablePhotographError, match=r"bad\.png.*" + reason):
        read(path)


def test_truncated_photograph_is_refused(tmp_path):
    file = io.BytesIO()
    picture(400, 300).save(file, "jpeg")
    with pytest.raises(UnreadablePhotographError, match="truncated"):
        read(file.getvalue()[:2000])


def test_missing_file(tmp_path):
    with pytest.raises(UnreadablePhotographError, match="No such file"):
        read(tmp_path / "gone.png")


def test_more_pixels_than_allowed_are_refused():
    with pytest.raises(UnreadablePhotographError, match="max_pixels=100"):
        read(picture(), max_pixels=100)


@pytest.mark.parametrize("thing", [3, np.zeros((4, 4)), np.zeros((4, 4, 2), np.uint8), None])
def test_other_things_are_refused(thing):
    with pytest.raises(UnreadablePhotographError, match="uint8"):
        read(thing)


def test_folder_is_walked_in_order_with_suffixes_in_any_case(tmp_path):
    (tmp_path / "b" / "c").mkdir(parents=True)
    for name in ["b/2.JPG", "b/c/3.webp", "1.png", "notes.txt"]:
        (tmp_path / name).touch()
    os.symlink(tmp_path, tmp_path / "b" / "loop")
    found = [os.path.relpath(path, tmp_path) for path in list_photographs(tmp_path)]
    assert found == ["1.png", os.path.join("b", "2.JPG"), os.path.join("b", "c", "3.webp")]
    assert list_photographs(tmp_path, recursive=False) == [str(tmp_path / "1.png")]


def test_empty_folder_and_no_folder(tmp_path):
    with pytest.raises(ValueError, match=r"holds no photograph.*\.jpg"):
        list_photographs(tmp_path)
    with pytest.raises(NotADirectoryError, match="not a folder"):
        list_photographs(tmp_path / "gone")
