"""The scripts of the gallery have what the book needs; that they run is shown where the book is built."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "examples" / "gallery").glob("*.py"))


def test_there_are_enough_and_all_are_run():
    assert len(SCRIPTS) >= 8
    assert all(script.name.startswith("plot_") for script in SCRIPTS), "others are shown and not run"
    conf = (ROOT / "docs" / "conf.py").read_text(encoding="utf-8")
    assert '"examples_dirs": "../examples/gallery"' in conf
    assert '"abort_on_example_error": True' in conf
    assert not re.search("filename_pattern|ignore_pattern|expected_failing_examples|plot_gallery", conf)
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert re.search(r"^auto_examples/index$", index, re.MULTILINE)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_script_is_a_page(script):
    code = script.read_text(encoding="utf-8")
    title, line, nothing, *text = ast.get_docstring(ast.parse(code)).split("\n")
    assert line == "=" * len(title)
    assert nothing == ""
    assert " ".join(text).strip()
    cells = code.split("\n# %%\n")[1:]
    assert len(cells) >= 3
    assert all(re.match("# [A-Z0-9`:*]", cell) for cell in cells), "each cell begins with a sentence"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_script_makes_a_picture_and_is_the_same_each_time(script):
    code = script.read_text(encoding="utf-8")
    assert re.search(r"contact_sheet\(|Display\.from_|plt\.subplots|report\.plot\(", code)
    assert "fetch_" not in code, "the network may not be there"
    for draw in re.findall(r"(?:make_captioned_\w+|default_rng)\((?:[^()]|\([^()]*\))*\)", code):
        assert "random_state=" in draw or "default_rng(0)" in draw
