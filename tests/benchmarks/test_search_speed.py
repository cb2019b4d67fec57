"""The benchmark of the index at a tiny size: its data, and the figures that it writes."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "search_speed.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("search_speed", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_descriptors_lie_about_centres_and_spread_less_and_less(script):
    descriptors = script.clustered_descriptors(2000, 16, n_centres=50)
    assert descriptors.shape == (2000, 16)
    assert_allclose(np.linalg.norm(descriptors, axis=1), 1, atol=1e-5)
    spread = descriptors.std(axis=0)
    assert spread[0] > spread[3] > spread[15]
    again = script.clustered_descriptors(2000, 16, seed=1, n_centres=50)
    nearest = (again[:50] @ descriptors.T).max(axis=1)
    assert np.median(nearest) > 0.85


def test_recall_counts_what_was_found(script):
    assert script.recall(np.array([[1, 2], [3, 4]]), np.array([[2, 1], [3, 5]])) == 0.75


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize(
    ("part", "bar"),
    [("one", "times NearestNeighbors"), ("disk", "seconds to load"), ("graph", "seconds to build")],
)
def test_parts_write_their_figures(script, tmp_path, monkeypatch, part, bar):
    out = tmp_path / "out.json"
    options = [
        "--parts",
        part,
        "--repeats",
        "1",
        "--scale",
        "0.05",
        "--photographs",
        "400",
        "--json",
        str(out),
    ]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *options])
    script.main()
    figures = json.loads(out.read_text())[part]
    assert figures[bar] > 0
    if part == "graph":
        assert figures["ef_search 128"]["recall@10"] > 0.9
    if part == "disk":
        assert figures["recall@10 of float16 among 400"] > 0.95
        assert figures["MB beyond the mapped file, 1,000 queries"] < 300
