import io
import os
import struct
import sys
import zlib

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


def test_numbers_whose_brightness_nothing_tells_are_refused(tmp_path):
    for i, numbers in enumerate((np.float32([[0.5]]), np.int32([[2**20]]), np.int32([[-1]]))):
        Image.fromarray(numbers).save(tmp_path / f"{i}.tif")
        with pytest.raises(UnreadablePhotographError, match="8 or 16 bits"):
            read(tmp_path / f"{i}.tif")


def as_file(image, format, **how):
    file = io.BytesIO()
    image.save(file, format, **how)
    return file.getvalue()


COLOURS = ((255, 0, 0), (0, 200, 40), (250, 250, 250), (10, 10, 10))


def fields(mode="RGB"):
    """Draw four fields of different colours, large enough to come through any compression."""
    image = Image.new("RGB", (128, 128))
    for i, colour in enumerate(COLOURS):
        image.paste(colour, (64 * (i % 2), 64 * (i // 2), 64 + 64 * (i % 2), 64 + 64 * (i // 2)))
    return image.quantize() if mode == "P" else image.convert(mode)


def shows_the_fields(image):
    centres = [image.getpixel((32 + 64 * (i % 2), 32 + 64 * (i // 2))) for i in range(4)]
    return image.size == (128, 128) and np.abs(np.subtract(centres, COLOURS)).max() <= 6


@pytest.mark.parametrize(
    ("mode", "format", "how"),
    [
        ("RGB", "jpeg", {"quality": 95}),
        ("RGB", "jpeg", {"quality": 95, "progressive": True}),
        ("CMYK", "jpeg", {"quality": 95}),
        ("CMYK", "tiff", {}),
        ("RGB", "tiff", {"compression": "tiff_lzw"}),
        ("YCbCr", "tiff", {}),
        ("RGB", "webp", {"quality": 95}),
        ("RGBA", "webp", {"lossless": True}),
        ("P", "gif", {}),
        ("P", "png", {}),
        ("P", "bmp", {}),
        ("RGB", "bmp", {}),
        ("RGBA", "png", {}),
        ("RGB", "avif", {"quality": 95}),
        ("RGB", "mpo", {"quality": 95, "save_all": True, "append_images": [Image.new("RGB", (9, 9))]}),
    ],
)
def test_every_format_shows_the_same_picture_under_any_suffix(tmp_path, mode, format, how):
    path = tmp_path / "photo.JPeg"
    path.write_bytes(as_file(fields(mode), format, **how))
    assert shows_the_fields(read(path))


def test_heic(tmp_path, monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(fields()).save(tmp_path / "photo.HEIC", quality=95)
    assert shows_the_fields(read(tmp_path / "photo.HEIC"))
    assert list_photographs(tmp_path) == [str(tmp_path / "photo.HEIC")]
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnreadablePhotographError, match=r"photo.HEIC.*txt2img\[heif\]"):
        read(tmp_path / "photo.HEIC")


def test_avif_that_pillow_cannot_read_names_the_extra(monkeypatch):
    content = as_file(fields(), "avif")
    monkeypatch.delitem(Image.OPEN, "AVIF")
    with pytest.raises(UnreadablePhotographError, match=r"txt2img\[heif\]"):
        read(content)


def test_cmyk_of_adobe_is_stored_inverted():
    content = as_file(fields("CMYK"), "jpeg", quality=95)
    assert b"Adobe" in content
    stored = np.asarray(Image.open(io.BytesIO(content)))
    assert stored[32, 32].tolist() == pytest.approx([0, 255, 255, 0], abs=6)
    assert shows_the_fields(read(content))


def test_sixteen_bit_colours_and_transparent_palettes():
    tall = np.zeros((8, 8, 3), np.uint16)
    tall[..., 0] = 40_000
    chunk = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in tall)
    content = png_of(chunk, zlib.compress(lines))
    assert read(content).getpixel((0, 0)) == (40_000 >> 8, 0, 0)
    palette = fields("P")
    palette.info["transparency"] = palette.getpixel((0, 0))
    assert read(as_file(palette, "png")).getpixel((0, 0)) == (255, 255, 255)


def test_damaged_orientation_leaves_the_pixels():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = as_file(fields(), "jpeg", quality=95, exif=exif)
    assert not shows_the_fields(read(content))
    start = content.index(b"Exif") + 6
    for damaged in (b"\xff" * 8, b"II*\0\xff\xff\0\0"):
        broken = content[:start] + damaged + content[start + len(damaged) :]
        assert shows_the_fields(read(broken))


def test_first_frame_of_an_animation(tmp_path):
    first = Image.new("RGB", (8, 8), "red")
    first.save(tmp_path / "a.gif", save_all=True, append_images=[Image.new("RGB", (8, 8), "blue")])
    assert read(tmp_path / "a.gif").getpixel((3, 3)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello", "not a photograph"),
        (b"\x89PNG\r\n\x1a\nrest", "."),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a photograph"),
        (b"\0\0\0\x18ftypisom\0\0\0\1isommp42rest", "film"),
    ],
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


def png_that_claims(width, height):
    """Make a PNG of a few bytes whose header claims any size."""
    return png_of(struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), zlib.compress(b"\0" * 100))


def png_of(header, pixels):
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@pytest.mark.parametrize("side", [3_200, 10_000, 20_000, 2**31 - 1])
def test_a_file_that_claims_to_be_huge_is_refused_by_our_limit_alone(side):
    with pytest.raises(UnreadablePhotographError, match="more than max_pixels=10000000"):
        read(png_that_claims(side, side))


def test_our_limit_takes_the_place_of_pillows(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    file = io.BytesIO()
    picture().save(file, "png")
    np.testing.assert_array_equal(read(file.getvalue()), picture())


def test_file_too_long_for_its_pixels_is_refused_unread(tmp_path):
    with open(tmp_path / "long.jpg", "wb") as file:
        file.truncate(2**40)  # takes no room
    with pytest.raises(UnreadablePhotographError, match="1099511627776 bytes are more than"):
        read(tmp_path / "long.jpg")


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


def test_links_to_folders_are_followed_once_and_change_no_path_of_before(tmp_path):
    inside, outside = tmp_path / "photos" / "m", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir(parents=True)
        (folder / "1.jpg").touch()
    before = list_photographs(tmp_path / "photos")
    for link, target in (("a", inside), ("b", outside), ("c", outside), ("z", ".."), ("gone", "nowhere")):
        os.symlink(target, tmp_path / "photos" / link)
    os.symlink(tmp_path / "photos", outside / "back")
    assert list_photographs(tmp_path / "photos") == [str(tmp_path / "photos" / "b" / "1.jpg"), *before]


def test_notes_of_macos_are_no_photographs_and_pipes_do_not_block(tmp_path):
    picture().save(tmp_path / "1.png")
    (tmp_path / "._1.png").write_bytes(b"\0\5\x16\7")
    os.mkfifo(tmp_path / "2.png")
    os.symlink("/dev/zero", tmp_path / "3.png")
    (tmp_path / "4.png").mkdir()
    paths = list_photographs(tmp_path)
    assert [os.path.basename(path) for path in paths] == ["1.png", "2.png", "3.png"]
    for path in [*paths[1:], tmp_path / "4.png"]:
        with pytest.raises(UnreadablePhotographError, match="not a regular file"):
            read(path)


def test_folders_that_cannot_be_read_are_told_and_the_others_listed(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").touch()
    scandir = os.scandir

    def refusing(path):
        if os.path.basename(path) == "a":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.warns(UserWarning, match=r"1 folders inside .*'.*a': Permission denied"):
        assert list_photographs(tmp_path) == [str(tmp_path / "b" / "1.jpg")]


def test_empty_folder_and_no_folder(tmp_path):
    with pytest.raises(ValueError, match=r"holds no photograph.*\.jpg"):
        list_photographs(tmp_path)
    with pytest.raises(NotADirectoryError, match="not a folder"):
        list_photographs(tmp_path / "gone")


def test_large_jpeg_is_decoded_small_but_not_too_small(tmp_path):
    from txt2img.images.reading import decode_photograph

    large = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)).resize(
        (1600, 1200)
    )
    large.save(tmp_path / "large.jpg")
    for min_side, size in ((None, (1600, 1200)), (512, (800, 600)), (300, (400, 300)), (1201, (1600, 1200))):
        found = decode_photograph(tmp_path / "large.jpg", max_pixels=10**7, min_side=min_side)
        assert found.size == size


def test_descriptor_of_a_large_jpeg_is_that_of_all_its_pixels(tmp_path):
    from txt2img import ImageFeaturizer
    from txt2img.datasets import load_sample_photographs

    photograph = Image.open(load_sample_photographs().photos[0]).convert("RGB").resize((2400, 1800))
    photograph.save(tmp_path / "large.jpg", quality=92)
    pixels = np.asarray(Image.open(tmp_path / "large.jpg"))
    by_file, by_pixels = ImageFeaturizer("efficientnet_lite0").transform([tmp_path / "large.jpg", pixels])
    assert by_file @ by_pixels > 0.999
