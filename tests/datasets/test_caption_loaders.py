import csv
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from txt2img.datasets import (
    load_captions,
    load_captions_table,
    load_coco_captions,
    load_flickr_tokens,
    load_sidecar_captions,
)

CAPTIONS = {
    "niño.jpg": ["Un niño con «gafas»", 'A boy who says "hello', "A boy, smiling"],
    "b.PNG": ["a dog"],
    "a.jpg": ["el pingüino\u2028sobre la nieve", "a penguin", "a penguin"],
}


@pytest.fixture
def folder(tmp_path):
    for name in CAPTIONS:
        (tmp_path / name).touch()
    return tmp_path


def write_table(path, rows, sep="\t", newline="\n"):
    path.write_bytes("".join(sep.join(row) + newline for row in rows).encode())
    return path


def table_rows(split=None):
    header = ["image", "caption"] if split is None else ["image", "split", "caption"]
    middle = [] if split is None else [split]
    return [header, *([n, *middle, c] for n, captions in CAPTIONS.items() for c in captions)]


def as_tsv(folder, newline="\n"):
    return write_table(folder / "captions.tsv", table_rows(), newline=newline)


def as_csv(folder):
    with open(folder / "captions.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(table_rows())
    return folder / "captions.csv"


def as_csv_named_txt(folder):
    return as_csv(folder).rename(folder / "captions.txt")


def as_coco(folder):
    data = {
        "images": [{"id": 10 - i, "file_name": name} for i, name in enumerate(CAPTIONS)],
        "annotations": [
            {"id": 0, "image_id": 10 - i, "caption": caption}
            for i, captions in reversed(list(enumerate(CAPTIONS.values())))
            for caption in captions
        ],
    }
    (folder / "captions_val2014.json").write_text(json.dumps(data), encoding="utf-8")
    return folder / "captions_val2014.json"


def as_flickr(folder):
    lines = [f"{name}#{i}\t{c}\n" for name, captions in CAPTIONS.items() for i, c in enumerate(captions)]
    (folder / "Flickr8k.token.txt").write_bytes("".join(lines).encode())
    return folder / "Flickr8k.token.txt"


def as_sidecars(folder):
    for name, captions in CAPTIONS.items():
        (folder / name).with_suffix(".txt").write_bytes("\n".join(captions).encode())
    return folder


def captions_by_name(data):
    return {Path(photo).name: captions for photo, captions in zip(data.photos, data.captions)}


@pytest.mark.parametrize("write", [as_tsv, as_csv, as_csv_named_txt, as_coco, as_flickr, as_sidecars])
def test_every_format_gives_back_what_was_written(folder, write):
    data = load_captions(write(folder))
    assert captions_by_name(data) == CAPTIONS
    order = sorted(CAPTIONS) if write is as_sidecars else list(CAPTIONS)
    assert data.photos == [str(folder / name) for name in order]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_line_ends_blank_lines_and_byte_order_mark_do_not_matter(folder, newline):
    table = as_tsv(folder, newline)
    text = table.read_bytes().replace(newline.encode(), (newline * 2).encode())
    table.write_bytes(b"\xef\xbb\xbf" + text)
    assert captions_by_name(load_captions_table(table)) == CAPTIONS
    tokens = as_flickr(folder)
    tokens.write_bytes(b"\xef\xbb\xbf" + tokens.read_bytes().replace(b"\n", newline.encode() * 2))
    assert captions_by_name(load_captions(tokens)) == CAPTIONS


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(CAPTIONS)),
            st.text(st.characters(exclude_characters="\t\r\n", exclude_categories=["Cs"])).map(str.strip),
        ),
        min_size=1,
    ).filter(lambda rows: any(caption for _, caption in rows))
)
def test_any_text_comes_back_from_tsv_with_its_photograph(folder, rows):
    expected = {}
    for name, caption in rows:
        if caption:
            expected.setdefault(name, []).append(caption)
    data = load_captions_table(write_table(folder / "any.tsv", [["image", "caption"], *rows]))
    assert captions_by_name(data) == expected
    assert list(captions_by_name(data)) == list(expected)


def test_rows_of_a_photograph_need_not_lie_together(folder):
    rows = [["caption", "image", "note"], ["one", "a.jpg", ""], ["two", "b.PNG", ""], ["three", "a.jpg", ""]]
    data = load_captions_table(write_table(folder / "t.tsv", rows))
    assert captions_by_name(data) == {"a.jpg": ["one", "three"], "b.PNG": ["two"]}


def test_quoted_csv_may_hold_separators_and_line_breaks(folder):
    table = folder / "t.csv"
    table.write_text('image,caption\na.jpg,"one, two\nthree"\n', encoding="utf-8")
    assert load_captions_table(table).captions == [["one, two\nthree"]]


def test_separator_may_be_given(folder):
    table = write_table(folder / "t.data", [["image", "caption"], ["a.jpg", "one, two"]], sep=";")
    assert load_captions_table(table, sep=";").captions == [["one, two"]]
    with pytest.raises(ValueError, match="pass sep"):
        load_captions_table(table)


def test_split_takes_its_rows_only(folder):
    rows = [["image", "split", "caption"], ["a.jpg", "train", "one"], ["b.PNG", "dev", "two"]]
    table = write_table(folder / "t.tsv", rows)
    assert captions_by_name(load_captions_table(table, split="dev")) == {"b.PNG": ["two"]}
    assert len(load_captions_table(table)) == 2
    with pytest.raises(ValueError, match=r"split='test' has no row .*\['dev', 'train'\]"):
        load_captions_table(table, split="test")
    with pytest.raises(ValueError, match=r"no column 'split', its columns are \['image', 'caption'\]"):
        load_captions_table(as_tsv(folder), split="dev")


def test_images_are_sought_in_the_folder_given_or_named_images_or_of_the_file(folder):
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    table = write_table(elsewhere / "t.tsv", [["image", "caption"], ["a.jpg", "one"]])
    assert load_captions_table(table, folder).photos == [str(folder / "a.jpg")]
    (elsewhere / "a.jpg").touch()
    assert load_captions_table(table).photos == [str(elsewhere / "a.jpg")]
    (elsewhere / "images").mkdir()
    (elsewhere / "images" / "a.jpg").touch()
    assert load_captions_table(table).photos == [str(elsewhere / "images" / "a.jpg")]
    with pytest.raises(FileNotFoundError, match="images='nowhere' is not a folder"):
        load_captions_table(table, "nowhere")


@pytest.mark.parametrize("write", [as_tsv, as_csv, as_coco, as_flickr])
def test_missing_photographs_are_named_or_left_out(folder, write):
    path = write(folder)
    (folder / "b.PNG").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 3 captioned photographs are not in .*: b\.PNG\. "):
        load_captions(path)
    kept = captions_by_name(load_captions(path, missing="ignore"))
    assert kept == {name: captions for name, captions in CAPTIONS.items() if name != "b.PNG"}
    with pytest.raises(ValueError, match="missing='skip'"):
        load_captions(path, missing="skip")


def test_leaving_out_all_photographs_is_an_error(folder):
    table = write_table(folder / "t.tsv", [["image", "caption"], *([f"{i}.jpg", "x"] for i in range(9))])
    with pytest.raises(FileNotFoundError, match=r"9 of 9 .*: 0\.jpg, 1\.jpg, 2\.jpg, \.\.\.\. Pass images"):
        load_captions_table(table, missing="ignore")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.tsv", "file\tcaption\na.jpg\tone\n", r"no column 'image', its columns are \['file', 'caption'\]"),
        ("t.tsv", "", r"no column 'image', its columns are \[\]"),
        ("t.tsv", "image\tcaption\n", "holds no caption"),
        ("t.tsv", "image\tcaption\na.jpg\tone\ttwo\n", "line 2: 3 columns instead of 2"),
        ("t.tsv", "image\tcaption\na.jpg\n", "line 2: 1 columns instead of 2"),
        ("t.csv", 'image,caption\na.jpg,"one\n', "line 2: not a table with sep=','"),
        ("t.json", "{", "is not JSON"),
        ("t.json", "[]", "not in the format of COCO captions"),
        ("t.json", '{"images": []}', r"KeyError\('annotations'\); it holds \['images'\]"),
        ("t.json", '{"images": [], "annotations": [{"image_id": 1, "bbox": []}]}', r"KeyError\('caption'\)"),
        (
            "t.json",
            '{"images": [], "annotations": [{"image_id": 1, "caption": "x"}]}',
            "image_id=1, which is",
        ),
        ("t.json", '{"images": [], "annotations": []}', "holds no caption"),
        ("t.json", "[" * 100_000, "is not JSON: maximum recursion depth"),
        ("t.json", "1" * 5000, "is not JSON: Exceeds the limit"),
        ("t.json", '{"images": [{"id": 1, "file_name": 2}], "annotations": []}', "not int"),
        ("t.json", '{"images": [], "annotations": [{"image_id": [], "caption": "x"}]}', "unhashable"),
        ("t.token", "a.jpg#0\tone\nb.PNG two\n", "line 2: expected 'name.jpg#0<TAB>caption'"),
        ("t.txt", "one sentence\n", "begins with 'one sentence\\\\n', which is no known format"),
        ("t.txt", "", "no known format"),
    ],
)
def test_files_of_another_form_are_refused(folder, name, content, message):
    (folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_captions(folder / name)


@pytest.mark.parametrize("name", ["x" * 300, "\ud800", "\0", "a.jpg/b.jpg"])
def test_names_that_no_file_can_have_are_of_missing_photographs(folder, name):
    images, notes = [{"id": 1, "file_name": name}], [{"image_id": 1, "caption": "x"}]
    (folder / "t.json").write_text(json.dumps({"images": images, "annotations": notes}))
    with pytest.raises(FileNotFoundError, match="1 of 1 captioned photographs are not in"):
        load_captions(folder / "t.json")


def test_files_in_another_encoding_are_refused(folder):
    (folder / "t.tsv").write_bytes("image\tcaption\na.jpg\tel niño\n".encode("latin-1"))
    with pytest.raises(ValueError, match="is not UTF-8 text"):
        load_captions(folder / "t.tsv")


@pytest.mark.parametrize(
    "load",
    [load_captions, load_captions_table, load_coco_captions, load_flickr_tokens, load_sidecar_captions],
)
def test_missing_file_is_named(tmp_path, load):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.tsv"):
        load(tmp_path / "nowhere.tsv")


def test_coco_leaves_out_photographs_without_caption_and_counts_the_others(folder):
    path = as_coco(folder)
    data = json.loads(path.read_text(encoding="utf-8"))
    data["images"].insert(0, {"id": 99, "file_name": "uncaptioned.jpg"})
    data["annotations"].append({"image_id": 10, "caption": " \n"})
    path.write_text(json.dumps(data), encoding="utf-8")
    assert captions_by_name(load_coco_captions(path)) == CAPTIONS
    assert list(captions_by_name(load_coco_captions(path, limit=2))) == list(CAPTIONS)[:2]
    with pytest.raises(ValueError, match="limit == 0"):
        load_coco_captions(path, limit=0)


def test_coco_limit_does_not_look_for_the_other_photographs(folder):
    path = as_coco(folder)
    (folder / "a.jpg").unlink()
    assert len(load_coco_captions(path, limit=2)) == 2


def test_sidecars_are_found_in_subfolders_and_only_beside_photographs(tmp_path):
    (tmp_path / "2024").mkdir()
    for name in ("2024/IMG_1.JPG", "2024/IMG_2.jpg", "plain.png", "notes.pdf"):
        (tmp_path / name).touch()
    (tmp_path / "2024/IMG_1.TXT").write_text("\n the beach \n\nla playa\n", encoding="utf-8")
    (tmp_path / "2024/IMG_2.txt").write_text("\n", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("not a caption\n", encoding="utf-8")
    data = load_sidecar_captions(tmp_path)
    assert data.photos == [str(tmp_path / "2024/IMG_1.JPG")]
    assert data.captions == [["the beach", "la playa"]]


def test_folder_without_captioned_photograph_is_refused(folder):
    with pytest.raises(ValueError, match="no captioned photograph"):
        load_captions(folder)
