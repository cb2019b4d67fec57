"""The benchmark of the store at a tiny size: every way gives the same descriptors, and each is timed."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "descriptor_store.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("descriptor_store_benchmark", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_table_has_a_line_for_every_way(script, photograph_files, monkeypatch, capsys):
    folder = str(Path(photograph_files[0]).parent)
    monkeypatch.setattr(sys, "argv", ["descriptor_store.py", folder, "--repeats", "1", "--new", "0.2"])
    script.main()
    title, *lines = capsys.readouterr().out.splitlines()
    assert title.startswith("6 photographs, 1 of them new, efficientnet_lite0")
    assert [line[:36].strip() for line in lines] == [
        *("no store", "empty store", "store, nothing new", "store, 1 new", "store, all renamed"),
        *("joblib.Memory a batch, empty", "joblib.Memory a batch, 1 new"),
        *("joblib.Memory a photograph, empty", "joblib.Memory a photograph, 1 new"),
    ]
    assert lines[0].endswith("100.0%")
