"""The command, as people type it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from txt2img.album import Album
from txt2img.command_line import build_parser, main
from txt2img.datasets import make_captioned_scenes
from txt2img.exceptions import SavedFileError

LITE = ["--backbone", "efficientnet_lite0", "--quiet"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Forty drawn scenes with a table of their captions, of which the last ten are for evaluation."""
    folder = tmp_path_factory.mktemp("scenes")
    images, captions = make_captioned_scenes(40, 3, random_state=0)
    rows = ["image\tsplit\tcaption"]
    for number, (image, own) in enumerate(zip(images, captions)):
        image.save(folder / f"{number:02}.png")
        split = "train" if number < 30 else "test"
        rows += [f"{number:02}.png\t{split}\t{caption}" for caption in own]
    (folder / "captions.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def trained(scenes, tmp_path_factory):
    """Home of an album that learned from the scenes and holds the last ten."""
    home = tmp_path_factory.mktemp("home")
    photos = tmp_path_factory.mktemp("photos")
    for number in range(30, 40):
        shutil.copy(scenes / f"{number}.png", photos)
    captions = str(scenes / "captions.tsv")
    assert main(["train", captions, "--split", "train", "--home", str(home), *LITE]) == 0
    assert main(["index", str(photos), "--home", str(home), *LITE]) == 0
    return home


def run_json(capsys, *arguments):
    capsys.readouterr()
    code = main([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_what_was_learned_finds_what_was_taken_in(trained, capsys):
    code, found = run_json(capsys, "search", "a", "red", "ball", "-k", "3", "--home", str(trained))
    assert code == 0
    assert found["query"] == "a red ball"
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
    assert all(Path(hit["id"]).is_absolute() and Path(hit["id"]).exists() for hit in found["hits"])
    code = main(["search", "a red ball", "-k", "3", "--home", str(trained)])
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in shown] == [hit["id"] for hit in found["hits"]]


def test_evaluation_tells_recall_beside_chance(trained, scenes, capsys):
    table = str(scenes / "captions.tsv")
    code, told = run_json(capsys, "evaluate", table, "--split", "test", "--home", str(trained), "--quiet")
    assert code == 0
    assert (told["queries"], told["photographs"]) == (30, 10)
    assert told["chance"]["R@1"] == pytest.approx(0.1)
    assert told["found"]["R@5"] > told["chance"]["R@5"]


def test_answers_that_are_not_probable_enough_are_left_out(trained, capsys):
    calibrated = Album(trained).load().calibrator_ is not None
    code = main(["search", "a red ball", "--least", "1", "--home", str(trained)])
    out, err = capsys.readouterr()
    assert code == 1
    assert out == ""
    assert ("at least 100% probable" if calibrated else "must learn from captioned photographs") in err


@pytest.mark.parametrize("suffix", [".html", ".png"])
def test_answers_are_drawn(trained, tmp_path, suffix):
    sheet = tmp_path / f"found{suffix}"
    assert main(["search", "a <script> ball", "--sheet", str(sheet), "--home", str(trained)]) == 0
    content = sheet.read_bytes()
    assert content.startswith(b"<!doctype html>" if suffix == ".html" else b"\x89PNG")
    assert b"<script" not in content
    assert sorted(tmp_path.iterdir()) == [sheet]


def test_without_captions_the_names_of_classes_are_known(scenes, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    shutil.copy(scenes / "00.png", tmp_path / "photos")
    home = ["--home", str(tmp_path / "home")]
    assert main(["index", str(tmp_path / "photos"), *home, *LITE]) == 0
    code, found = run_json(capsys, "search", "un perro", *home)
    assert (code, [Path(hit["id"]).name for hit in found["hits"]]) == (0, ["00.png"])


def test_index_keeps_up_with_a_folder(trained, scenes, tmp_path, capsys):
    photos, home = tmp_path / "photos", ["--home", str(tmp_path / "home")]
    shutil.copytree(trained, tmp_path / "home")
    others = set(Album(trained).load().index_.ids_)
    shutil.copytree(scenes, photos)
    (photos / "captions.tsv").unlink()
    (photos / "broken.jpg").write_bytes(b"no photograph")
    before = sorted(photos.rglob("*"))
    _, told = run_json(capsys, "index", str(photos), *home, *LITE)
    assert (len(told["added"]), told["removed"], told["photographs"]) == (40, [], 50)
    assert [path for path, reason in told["failed"]] == [str(photos / "broken.jpg")]
    assert sorted(photos.rglob("*")) == before

    (photos / "00.png").unlink()
    shutil.copy(photos / "02.png", photos / "01.png")
    os.utime(photos / "01.png", ns=(0, 10**18))
    (photos / "02.png").rename(photos / "new.png")
    code, told = run_json(capsys, "index", str(photos), *home, *LITE)
    assert code == 0
    assert sorted(Path(path).name for path in told["added"]) == ["01.png", "new.png"]
    assert sorted(Path(path).name for path in told["removed"]) == ["00.png", "02.png"]
    assert told["photographs"] == 49
    found = Album(tmp_path / "home").load().index_
    assert set(found.ids_) == others | {str(path) for path in photos.glob("*.png")}

    code, told = run_json(capsys, "index", str(photos), *home, *LITE)
    assert (told["added"], told["removed"], len(told["failed"])) == ([], [], 1)
    shutil.rmtree(photos)
    photos.mkdir()
    assert run_json(capsys, "index", str(photos), *home, *LITE)[1]["photographs"] == 10


def test_training_keeps_what_was_taken_in(trained, scenes, tmp_path, capsys):
    home = tmp_path / "home"
    shutil.copytree(trained, home)
    ids = sorted(Album(home).load().index_.ids_)
    Path(ids[0]).rename(tmp_path / "moved.png")
    try:
        captions = str(scenes / "captions.tsv")
        code, told = run_json(capsys, "train", captions, "--home", str(home), *LITE)
    finally:
        Path(tmp_path / "moved.png").rename(ids[0])
    assert (code, told) == (0, {"learned": 40, "captions": 120, "photographs": 9})
    assert sorted(Album(home).load().index_.ids_) == ids[1:]


def test_a_search_that_no_album_saved_is_left_alone(class_name_search, tmp_path):
    class_name_search.save(tmp_path / "search")
    with pytest.raises(SavedFileError, match="was not saved by an album: take another folder as home"):
        Album(tmp_path).index([tmp_path])
    assert len(Album(tmp_path).load()) == len(class_name_search)


def test_one_process_at_a_time_changes_an_album(trained, scenes, capsys):
    with Album(trained)._locked():
        assert main(["index", str(scenes), "--home", str(trained), *LITE]) == 1
        assert "is being changed by another process or thread: try again" in capsys.readouterr().err
        assert main(["search", "a ball", "--home", str(trained)]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "a ball"], "txt2img index DIR"),
        (["index", "no_such_folder"], "no_such_folder"),
        (["train", "no_such_table.tsv"], "no_such_table.tsv"),
        (["evaluate", "no_such_table.tsv"], "no_such_table.tsv"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.setenv("TXT2IMG_HOME", str(tmp_path / "home"))
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert said.startswith(f"txt2img {arguments[0]}: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["find", "a ball"],
        ["search", "a ball", "-k", "0"],
        ["search", "a ball", "-k", "few"],
        ["search", "a ball", "--least", "30"],
        ["search", "a ball", "--sheet", "found.doc"],
    ],
)
def test_wrong_use_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert (arguments[-1] if arguments[0] == "search" else "find") in capsys.readouterr().err


def test_answers_open_as_a_page_beside_the_search(trained, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.chdir(tmp_path)
    assert main(["search", "a red ball", "--open", "--home", str(trained)]) == 0
    assert opened == [(trained / "answers.html").as_uri()]
    assert list(tmp_path.iterdir()) == []
    (trained / "answers.html").unlink()


def test_names_of_files_cannot_command_the_terminal(trained, monkeypatch, capsys):
    from txt2img.search import Hit

    search = Album(trained).load()
    monkeypatch.setattr(Album, "load", lambda self: search)
    monkeypatch.setattr(
        search, "query", lambda text, k: [Hit("/photos/\x1b[2Jcat.jpg", 0.5, 1)], raising=False
    )
    main(["search", "a cat", "--home", str(trained)])
    assert "\x1b" not in capsys.readouterr().out


def test_completion_knows_the_commands(capsys):
    with pytest.raises(SystemExit) as left:
        build_parser().parse_args(["--print-completion", "bash"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in ("index", "search", "train", "evaluate"))


def test_the_module_is_the_command():
    shown = subprocess.run(
        [sys.executable, "-m", "txt2img", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert "txt2img search" in shown


def test_interruption_is_told_and_not_traced(trained, monkeypatch, capsys):
    def interrupt(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Album, "load", interrupt)
    assert main(["search", "a ball", "--home", str(trained)]) == 130
    assert "interrupted" in capsys.readouterr().err
