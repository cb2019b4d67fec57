"""README's first command: what it prints and draws, and its options."""

import copy
import importlib.util
import re
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "examples" / "quickstart.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("quickstart", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@pytest.fixture
def quickstart(script, monkeypatch, tmp_path, capsys):
    """Return a function that runs the example and gives what it printed and the size of its sheet."""

    def run(*options):
        sheet = tmp_path / "sheet.png"
        monkeypatch.setattr(sys, "argv", [str(each) for each in (SCRIPT, "--sheet", sheet, *options)])
        script.main()
        with Image.open(sheet) as image:
            return capsys.readouterr().out, image.size

    return run


@pytest.fixture
def class_names_are_learned(script, monkeypatch, class_name_search):
    """Let the example start from a search that has learned the names of the classes before."""
    search = copy.deepcopy(class_name_search)
    search.remove(search.index_.ids_)
    monkeypatch.setattr(script.TextImageSearch, "from_class_names", lambda backbone: search)


@pytest.mark.slow
def test_first_result_of_a_stranger(quickstart):
    printed, (width, height) = quickstart()
    share = int(re.search(r"A right photograph first: \d+ of \d+ queries \((\d+)%\)", printed)[1])
    assert share >= 70
    for language in ("Spanish", "English"):
        n_queries, first, third, chance = re.search(
            rf"^{language} +(\d+) +(\d+)% +(\d+)% +(\d+)%$", printed, re.MULTILINE
        ).groups()
        assert int(n_queries) == 54
        assert 60 <= int(first) <= int(third) <= 100
        assert int(chance) == 6
    assert width > 500
    assert height > 500


def test_ten_questions_at_least_in_each_language(script):
    english = [
        query for query in script.QUERIES if re.match(r"(an?|the|ancient|galaxies|handwritten)\b", query)
    ]
    assert len(english) >= 10
    assert len(script.QUERIES) - len(english) >= 10


@pytest.mark.usefixtures("class_names_are_learned")
def test_photographs_and_questions_of_the_user(quickstart, scene_files, tmp_path):
    for path in scene_files[0][:3]:
        shutil.copy(path, tmp_path)
    printed, _ = quickstart("--photos", tmp_path, "--query", "un barco", "--query", "a red ball")
    assert "3 photographs to search" in printed
    for query in ("un barco", "a red ball"):
        hits = printed.partition(f"\n{query}\n")[2].splitlines()[:3]
        assert [line.split()[0] for line in hits] == ["1.", "2.", "3."]
        assert {line.split()[-1] for line in hits} == {"00.png", "01.png", "02.png"}
    assert "A right photograph first" not in printed


def test_captions_of_the_user_are_learned_first(quickstart, script, monkeypatch, scene_files, tmp_path):
    monkeypatch.setattr(script, "BACKBONE", "efficientnet_lite0")
    paths, captions = scene_files[0][:12], scene_files[1][:12]
    table = tmp_path / "captions.tsv"
    rows = [f"{path}\t{sentence}" for path, own in zip(paths, captions) for sentence in own]
    table.write_text("\n".join(["image\tcaption", *rows]) + "\n", encoding="utf-8")
    (tmp_path / "mine").mkdir()
    for path in paths[:3]:
        shutil.copy(path, tmp_path / "mine")
    printed, _ = quickstart(
        "--captions",
        table,
        "--photos",
        tmp_path / "mine",
        "--query",
        captions[0][0],
        "--query",
        captions[1][0],
    )
    assert "Learning from 12 captioned photographs" in printed
    assert "3 photographs to search" in printed


@pytest.mark.usefixtures("class_names_are_learned")
def test_empty_folder_is_named(quickstart, tmp_path):
    with pytest.raises(ValueError, match="holds no photograph: none of its files ends in"):
        quickstart("--photos", tmp_path)
