"""The benchmark of the featurizer at a tiny size: its photographs, its sides, and what it writes."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from txt2img.images.backbone import Backbone
from txt2img.images.preprocessing import Preprocessing

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "featurizer_throughput.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("featurizer_throughput", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_photographs_are_mosaics_and_always_the_same(script, scene_files, tmp_path):
    folder = Path(scene_files[0][0]).parent
    once, again = (script.make_photographs(folder, tmp_path / name, 2, (640, 480)) for name in "ab")
    with Image.open(once[1]) as image:
        assert image.size == (640, 480)
    assert [Path(path).read_bytes() for path in once] == [Path(path).read_bytes() for path in again]
    assert Path(once[0]).read_bytes() != Path(once[1]).read_bytes()


def test_sides_compute_the_same(script, scene_files, tmp_path):
    files = script.make_photographs(Path(scene_files[0][0]).parent, tmp_path / "files", 3, (640, 480))
    ours = script.describe(Backbone("resnet18", script.build("resnet18"), Preprocessing()), files)
    plain = script.loop(script.build("resnet18"), files)
    plain /= np.linalg.norm(plain, axis=1, keepdims=True)
    assert (ours * plain).sum(axis=1).min() > 0.999


@pytest.mark.slow
def test_whole_run(script, scene_files, tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino")
    out = tmp_path / "out.json"
    options = ["--data", Path(scene_files[0][0]).parent, "--networks", "mobilenet_v2", "--n", 4]
    options += ["--n-large", 2, "--forward-networks", "mobilenet_v2", "--seconds", 0.1, "--repeats", 1]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, options), "--json", str(out)])
    script.main()
    found = json.loads(out.read_text())
    for part in ("end to end", "large"):
        row = found[part]["mobilenet_v2"]
        assert all(row[side] > 0 for side in ("ours", "plain", "decoding", "describing", "times plain"))
        assert 0 < row["share of the bound"] < 2
    assert all(found["forward"]["mobilenet_v2"][side] > 0 for side in ("ours", "ONNX Runtime", "OpenVINO"))
    assert "forward, mobilenet_v2: ours" in capsys.readouterr().out
