"""The benchmark of ridge at a tiny size: its data, its sides, and the table that it writes."""

import argparse
import importlib.util
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "ridge_speed.py"
SIDES = ["scipy", "one alpha", "7 alphas", "network"]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("ridge_speed", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@pytest.fixture(scope="module")
def data(script):
    return script.make_data(argparse.Namespace(n=1000, p=300, t=4))


def test_captions_are_about_nine_frequent_words_of_length_one(data):
    X, Y, photograph = data
    assert X.shape == (1000, 300)
    assert Y.shape == (1000, 4)
    assert X.dtype == Y.dtype == np.float32
    assert_allclose(np.asarray(X.multiply(X).sum(axis=1)).ravel(), 1, rtol=1e-5)
    assert X.nnz < 9 * 1000
    found = X.getnnz(axis=0)
    assert found[:10].sum() > 4 * found[100:110].sum()
    assert_array_equal(np.bincount(photograph), np.full(200, 5))
    assert_array_equal(Y, Y[5 * photograph])


def test_sides_solve_the_same_problem(script, data):
    X, Y, _ = data
    ridge = partial(Ridge, script.ALPHA, solver="cholesky")
    bare = script.solve_by_scipy(*data)
    assert_allclose(bare, ridge(fit_intercept=False).fit(X, Y).coef_.T, atol=1e-4)
    weights, _ = script.fit_one(*data)
    assert_allclose(weights, ridge().fit(X.toarray(), Y).coef_.T, atol=1e-4)
    *_, best_alpha, scores = script.fit_path(*data)
    assert scores.shape == (7,)
    assert best_alpha in script.ALPHAS


def test_table_has_all_sides(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, "measure_peak", {"scipy": 1.0, "one alpha": 2.0, "7 alphas": 3.0}.get)
    monkeypatch.setattr(script, "HIDDEN", 16)
    out = tmp_path / "out.json"
    options = {"--n": 500, "--p": 80, "--t": 4, "--repeats": 2, "--network-steps": 2, "--json": out}
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *(str(each) for item in options.items() for each in item)])
    script.main()
    table = json.loads(out.read_text())
    assert (table["n"], table["p"], table["t"], table["network_steps"]) == (500, 80, 4, 2)
    assert list(table["sides"]) == SIDES
    assert all(row["seconds"] > 0 for row in table["sides"].values())
    assert table["sides"]["scipy"]["times_T"] == 1
    assert table["sides"]["7 alphas"]["peak_gib"] == 3
    assert table["network_over_ridge"] > 0
    printed = capsys.readouterr().out
    assert "500 captions, 80 terms, 4 targets" in printed
    assert all(f"\n{side} " in printed for side in SIDES)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_peak_is_that_of_the_side_and_its_data_alone(script, monkeypatch):
    """Targets of 80 MB and the libraries count, a GiB of the process that starts the side does not."""
    own = np.ones(2**30, np.int8)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--n", "20000", "--p", "50", "--t", "1000"])
    assert 0.2 < script.measure_peak("one alpha") < own.nbytes / 2**30
