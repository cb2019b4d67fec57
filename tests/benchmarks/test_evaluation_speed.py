"""The benchmark of evaluations at a tiny size: its data, and the figures that it writes."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "evaluation_speed.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("evaluation_speed", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_predictions_are_near_their_photographs(script):
    gallery, predicted, true_ids = script.make_data(20, 64, n_uncaptioned=30)
    assert gallery.shape == (50, 64)
    assert predicted.shape == (100, 64)
    assert np.bincount(true_ids).tolist() == [5] * 20
    assert np.mean((predicted @ gallery.T).argmax(axis=1) == true_ids) > 0.3


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_parts_write_their_figures(script, tmp_path, monkeypatch):
    out = tmp_path / "out.json"
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--repeats", "1", "--scale", "0.1", "--json", str(out)])
    script.main()
    figures = json.loads(out.read_text())
    small, large = figures["small"], figures["large"]
    assert all(value > 0 for value in small.values())
    assert small["torchmetrics, times recall from scores"] > 5
    assert large["text_to_photograph"]["candidates"] == 10_000
    assert large["photograph_to_text"]["queries"] == 500
    scores = 2500 * 10_000 * 4 / 2**30
    assert 0.05 < large["text_to_photograph"]["peak GiB beyond data and libraries"] < 3 * scores
