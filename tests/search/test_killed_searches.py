"""A search that is fitted, filled and saved again and again, and killed at random moments."""

import os
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest

from txt2img import TextImageSearch, TextToVisualRegressor
from txt2img.datasets import make_captioned_descriptors

CAPTIONS, DESCRIPTORS = make_captioned_descriptors(80, 2, random_state=0)


def new_search(value):
    """Make a search in which all that there is tells which one it is."""
    own = slice(40 * value, 40 * value + 40)
    search = TextImageSearch(regressor=TextToVisualRegressor(), calibration_share=None)
    search.fit(DESCRIPTORS[own], CAPTIONS[own])
    search.add(DESCRIPTORS[own], ids=[f"{value} ñ {i}.jpg" for i in range(40)])
    return search.remove([f"{value} ñ 7.jpg"])


def answers_of(search):
    asked = [own[0] for own in (CAPTIONS[3], CAPTIONS[43])]
    return search.index_.ids_.tolist(), search.index_.descriptors_.tolist(), search.query(asked, k=9)


def kill_savers(folder, n_kills, seed):
    """Fork a process that saves one search after the other, kill it, and open what it leaves."""
    expected = [answers_of(new_search(value)) for value in (0, 1)]
    new_search(0).save(folder)
    rng, n_found = np.random.default_rng(seed), [0, 0]
    for _ in range(n_kills):
        child = os.fork()
        if not child:
            try:
                while True:
                    for value in (1, 0):
                        new_search(value).save(folder)
            finally:
                os._exit(1)
        time.sleep(rng.uniform(0, 0.3))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, "it could not save"
        found = answers_of(TextImageSearch.load(folder, verify=True))
        assert found in expected
        n_found[expected.index(found)] += 1
    new_search(1).save(folder)
    assert answers_of(TextImageSearch.load(folder)) == expected[1]
    left = [name for name in os.listdir(folder) if name.endswith(".part")]
    assert not left
    print(*n_found)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="SIGKILL and fork are of POSIX")
@pytest.mark.parametrize("n_kills", [5, pytest.param(300, marks=pytest.mark.slow)])
def test_a_killed_process_leaves_the_old_search_or_the_new(n_kills):
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # to die at once, not after a disk
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        # In a process with one thread, as a fork takes over but one.
        done = subprocess.run(
            [sys.executable, "-W", "ignore::UserWarning", __file__, f"{folder}/model", str(n_kills)],
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    assert sum(map(int, done.stdout.split())) == n_kills


if __name__ == "__main__":
    kill_savers(sys.argv[1], int(sys.argv[2]), seed=0)
