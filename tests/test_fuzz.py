"""The fuzzer's targets run: on the files that they begin with, on these cut off, and on what they found."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx")
sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))
import loaders

OURS = b'{"backbone": "ours"}'
SHAPE = ["n", 3, 8, 8]


@pytest.mark.parametrize("target", loaders.TARGETS)
def test_every_target_takes_its_seeds_whole_and_cut_off(target):
    for content in loaders.seeds(target):
        loaders.run(target, content)
        loaders.run(target, content[: len(content) // 2])
        loaders.run(target, b"")


@pytest.mark.parametrize(
    ("target", "content"),
    [
        ("store", loaders.database().replace(b"settings (id", b"sett\xb6ngs (id")),
        ("store", loaders.database().replace(OURS, b'{"backbone": "ours"]')),
        ("store", loaders.database().replace(OURS, b'["backbone", "ours"]')),
        ("onnx", loaders.network({"pictures": SHAPE}, SHAPE).replace(b"pictures", b"pict\xc9res")),
        ("onnx", loaders.network({"pictures": SHAPE}, [], "ReduceSum", keepdims=0)),
        ("onnx", loaders.network({}, [], "Constant", value_float=1.0)),
    ],
)
def test_what_was_found_stays_mended(target, content):
    loaders.run(target, content)


def test_errors_that_are_not_the_librarys_do_not_pass(monkeypatch):
    monkeypatch.setitem(loaders.TARGETS, "captions", lambda content, folder: int(content))
    with pytest.raises(ValueError, match="invalid literal"):
        loaders.run("captions", b"x")
