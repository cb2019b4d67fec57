"""The same data and seed give the same bits, and searches work in every kind of process and thread."""

import hashlib
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from txt2img import ImageFeaturizer, ImageIndex, TextImageSearch, persistence
from txt2img.datasets import make_captioned_descriptors

CAPTIONS, DESCRIPTORS = make_captioned_descriptors(80, 3, random_state=0)
QUERIES = [own[0] for own in CAPTIONS[:9]]


def new_search():
    return TextImageSearch().fit(DESCRIPTORS, CAPTIONS).add(DESCRIPTORS[:30])


def bits_of(search):
    """Sum up all that a search has learned and holds."""
    writer = persistence._Writer()
    tree = writer.encode(search, "search")
    return hashlib.sha256(json.dumps([tree, sorted(writer.arrays)]).encode()).hexdigest()


def answers_of(search, queries=QUERIES):
    return [[(hit.id, hit.score.hex()) for hit in hits] for hits in search.query(queries, k=5)]


def descriptors_of(featurizer):
    colours = [(0, 99, 200), (250, 20, 3), (1, 1, 1)]
    return featurizer.transform([Image.new("RGB", (60, 50), colour) for colour in colours])


@pytest.fixture(scope="module")
def search():
    return new_search()


def run_here(*arguments, n_threads):
    """Start this file in a new process with so many threads for the numbers."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, *arguments],
        env=os.environ | dict.fromkeys(names, str(n_threads)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_fitting_twice_gives_the_same_bits(search):
    assert bits_of(new_search()) == bits_of(search)


@pytest.mark.slow
def test_other_processes_give_the_same_bits_and_other_numbers_of_threads_nearly():
    first, again, alone = (run_here("fit", n_threads=n) for n in (2, 2, 1))
    assert first == again
    assert_allclose(alone["scores"], first["scores"], atol=1e-5)
    assert_allclose(alone["descriptors"], first["descriptors"], atol=1e-5)


def test_answers_are_the_same_in_threads(search):
    expected = answers_of(search)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(answers_of, [search] * 12)) == [expected] * 12


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["loky", *sorted({"fork", "spawn"} & set(multiprocessing.get_all_start_methods()))]
)
def test_answers_are_the_same_in_other_processes(kind):
    found = run_here(kind, n_threads=1)
    assert found["answers"] == [found["expected"]] * 3


@pytest.mark.parametrize(
    ("estimator", "most"),
    [
        (lambda: ImageFeaturizer("efficientnet_lite0").fit(["a.jpg"]), 3_000),
        (lambda: TextImageSearch(), 1_000),
        (lambda: TextImageSearch.from_preset("best"), 20_000),
        (lambda: ImageIndex().fit(DESCRIPTORS), 2 * DESCRIPTORS.nbytes),
        (lambda: new_search(), 500_000),
    ],
    ids=["featurizer", "search", "best search", "index", "fitted search"],
)
def test_pickles_are_small_and_give_the_same(estimator, most):
    own = estimator()
    if isinstance(own, ImageFeaturizer):
        descriptors_of(own)  # the network is loaded now, and not in the pickle
    content = pickle.dumps(own)
    assert len(content) < most
    assert bits_of(pickle.loads(content)) == bits_of(own)


def tell_answers(kind):
    search = new_search()
    if kind == "loky":
        found = joblib.Parallel(2, backend="loky")(joblib.delayed(answers_of)(search) for _ in range(3))
    else:
        with ProcessPoolExecutor(2, multiprocessing.get_context(kind)) as pool:
            found = list(pool.map(answers_of, [search] * 3))
    return {"answers": found, "expected": answers_of(search)}


def tell_fit():
    search = new_search()
    scores, _ = search.index_.search(DESCRIPTORS @ np.eye(64, search.index_.n_features_in_), k=5)
    described = descriptors_of(ImageFeaturizer("efficientnet_lite0"))
    return {"bits": bits_of(search), "scores": scores.tolist(), "descriptors": described.tolist()}


if __name__ == "__main__":
    print(json.dumps(tell_fit() if sys.argv[1] == "fit" else tell_answers(sys.argv[1])))
