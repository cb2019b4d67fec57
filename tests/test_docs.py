"""The code on the pages of the book and in README runs, and the book is complete and builds."""

import doctest
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator
from sklearn.utils import estimator_html_repr

import txt2img
from txt2img import TextToVisualRegressor
from txt2img.datasets import make_captioned_scenes
from txt2img.mapping import MapEnsemble, VisualMap

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts)]
BLOCK = re.compile(
    r"(?P<skip><!-- not run: [^>]+ -->\n)?^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
ROOMS = ["txt2img"] + [
    f"txt2img.{room}"
    for room in ("images", "captions", "mapping", "search", "evaluation", "datasets", "exceptions")
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Make the folders that the pages speak of, with captions in every format that is read."""
    folder = tmp_path_factory.mktemp("folders")
    images, english = make_captioned_scenes(45, 5, random_state=1)
    spanish = make_captioned_scenes(45, 5, language="es", random_state=1)[1]
    for name in ("photos", "my_photos", "sidecar"):
        (folder / name).mkdir()
    names = [f"{number:04}.png" for number in range(1, 41)]
    for name, image in zip(names, images):
        image.save(folder / "photos" / name)
    for number, image in enumerate(images[40:], start=1):
        image.save(folder / "my_photos" / f"{number:04}.png")
    images[0].save(folder / "sidecar" / "beach.png")
    rows = [(name, caption) for name, own in zip(names, english) for caption in own]
    texts = {
        "photos/captions.tsv": ["image\tcaption", *map("\t".join, rows)],
        "photos/captions_es.tsv": [
            "image\tcaption",
            *(f"{name}\t{caption}" for name, own in zip(names, spanish) for caption in own),
        ],
        "photos/splits.csv": [
            "image,split,caption",
            *(f"{name},{'train' if name < '0031' else 'test'},{caption}" for name, caption in rows),
        ],
        "photos/captions.token": [f"{name}#{i % 5}\t{caption}" for i, (name, caption) in enumerate(rows)],
        "photos/captions.json": [
            json.dumps(
                {
                    "images": [{"id": name, "file_name": name} for name in names],
                    "annotations": [{"image_id": name, "caption": caption} for name, caption in rows],
                }
            )
        ],
        "sidecar/beach.txt": english[0],
    }
    for path, lines in texts.items():
        (folder / path).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def as_parameter(page):
    """Mark translations as slow, for they repeat the code of another page."""
    marks = [pytest.mark.slow] if page.parent.name == "es" else []
    return pytest.param(page, id=str(page.relative_to(ROOT)), marks=marks)


@pytest.mark.parametrize("page", [as_parameter(page) for page in PAGES])
def test_code_of_page_runs(page, folders, tmp_path, monkeypatch):
    for path in folders.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    assert len(blocks) == text.count("```python"), "a block of Python is not closed, or is indented"
    namespace = {"__name__": "page"}
    for block in blocks:
        if block["skip"] is None:
            run(block["code"], namespace, page, text.count("\n", 0, block.start("code")))


def run(code, namespace, page, line):
    """Run one block, in which a ``>>>`` is followed by what it must print."""
    if ">>> " not in code:
        exec(compile("\n" * line + code, page, "exec"), namespace)
        return
    test = doctest.DocTestParser().get_doctest(code, namespace, page.name, str(page), line)
    shown = []
    doctest.DocTestRunner(verbose=False).run(test, out=shown.append, clear_globs=False)
    namespace.update(test.globs)
    assert not shown, "".join(shown)


def test_few_blocks_are_not_run():
    pages = [page.read_text(encoding="utf-8") for page in PAGES]
    n_blocks = sum(text.count("```python") for text in pages)
    n_skipped = sum(text.count("<!-- not run: ") for text in pages)
    assert n_skipped <= 0.1 * n_blocks


@pytest.mark.parametrize("room", ROOMS)
def test_reference_holds_every_public_name(room):
    reference = (ROOT / "docs" / "reference.rst").read_text(encoding="utf-8")
    module = importlib.import_module(room)
    assert [name for name in module.__all__ if not re.search(rf"\b{name}$", reference, re.MULTILINE)] == []


@pytest.mark.slow
def test_book_builds_without_warnings(tmp_path):
    pytest.importorskip("sphinx")
    pages, html = tmp_path / "docs", tmp_path / "html"
    made = shutil.ignore_patterns("_build", "generated", "auto_examples")
    shutil.copytree(ROOT / "docs", pages, ignore=made)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    # The examples are shown and not run: .ci/run does that, where it builds the book itself.
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-D", "plot_gallery=0", "-b", "html", pages, html]
    source = Path(txt2img.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(source)}
    built = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    shown = "".join(page.read_text(encoding="utf-8") for page in html.rglob("*.html"))
    assert "<math" in shown
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=.https?:", shown), "a page needs the network"


def pages_of_reference():
    """Name the pages that autosummary makes of docs/reference.rst."""
    module, listed = None, False
    for line in (ROOT / "docs" / "reference.rst").read_text(encoding="utf-8").splitlines():
        if line.startswith(".. "):
            module = line.partition("currentmodule:: ")[2] or module
            listed = line == ".. autosummary::"
        elif listed and re.match(r"   [^:\s]", line):
            yield f"{module}.{line.strip()}"


ESTIMATORS = [
    getattr(importlib.import_module(room), name)
    for room in ROOMS
    for name in importlib.import_module(room).__all__
    if room == "txt2img" or name not in txt2img.__all__
]
ESTIMATORS = [each for each in ESTIMATORS if isinstance(each, type) and issubclass(each, BaseEstimator)]
ARGUMENTS = {MapEnsemble: [[("ridge", TextToVisualRegressor())]], VisualMap: [[None]]}


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda each: each.__name__)
def test_diagram_links_to_a_page_of_the_reference(estimator):
    url = re.search(r'href="(https?:[^"]+)"', estimator_html_repr(estimator(*ARGUMENTS.get(estimator, []))))[
        1
    ]
    documented = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Documentation"]
    folder, _, page = url.rpartition("/")
    assert folder == f"{documented}/generated"
    assert page.endswith(f".{estimator.__name__}.html")
    assert page.removesuffix(".html") in pages_of_reference()


def test_no_link_to_us_from_the_diagram_of_somebody_else():
    class Theirs(TextToVisualRegressor):
        __module__ = "their_package"

    assert "txt2img.readthedocs" not in estimator_html_repr(Theirs())
