"""Thousands of damaged and hostile saved searches: each is loaded as it was or refused, and runs no code."""

import hashlib
import io
import json
import os
import pickle
import random
import resource
import shutil
import subprocess
import sys
import time
import tracemalloc
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from txt2img import TextImageSearch, TextToVisualRegressor, persistence
from txt2img._files import as_array
from txt2img.datasets import make_captioned_descriptors
from txt2img.exceptions import SavedFileError

SECONDS = 5
HARMLESS = {"os.scandir", "os.listdir", "object.__getattr__", "mmap.__new__", "compile"}
VALUES = [None, True, False, 0, -1, 1, 7, 10**30, -(2**63), 0.5, float("nan"), float("inf"), "", "x", "../x"]
VALUES += [
    "/etc/passwd",
    "0" * 64,
    [],
    {},
    [1],
    {"array": "0" * 64},
    {"tuple": 3},
    {"dict": []},
    {"class": "Popen"},
]
VALUES += [{"objects": [[1], [2]]}, {"path": "/etc"}, {"dtype": "float32"}, [[[]]], {"a": 1, "b": 2}]


def saved_search(folder):
    captions, descriptors = make_captioned_descriptors(40, 2, random_state=0)
    search = TextImageSearch(regressor=TextToVisualRegressor(), calibration_share=None)
    search.fit(descriptors, captions).add(
        descriptors[:9], ids=[f"ñ {i}.jpg" for i in range(9)], metadata={"year": range(9)}
    )
    search.remove(["ñ 7.jpg"]).save(folder)
    return captions[0][0]


def places_of(value, path=()):
    """Give the path of everything that is inside nested lists and dicts."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, own in inner:
        yield (*path, key)
        yield from places_of(own, (*path, key))


def edit(rng, manifest):
    """Put something else in one place of a manifest, take it away, or exchange two."""
    places = list(places_of(manifest["estimator"])) + list(places_of(manifest["arrays"]))
    roots = (manifest["estimator"], manifest["arrays"])

    def holder(path):
        for root in roots:
            try:
                for key in path[:-1]:
                    root = root[key]
                root[path[-1]]
                return root
            except (LookupError, TypeError):
                continue

    path, other = rng.choice(places), rng.choice(places)
    own, its = holder(path), holder(other)
    how = rng.randrange(4)
    if how == 0 and its is not None:
        own[path[-1]] = json.loads(json.dumps(its[other[-1]]))
    elif how == 1:
        del own[path[-1]]
    else:
        own[path[-1]] = rng.choice(VALUES)
    return manifest


class Attack:
    def __reduce__(self):
        return os.mkdir, ("canary",)


def hostile_array(rng, content):
    """Make of a file of an array another one that an attacker might want to be read."""
    array = np.lib.format.read_array(io.BytesIO(content))
    how = rng.randrange(7)
    if how == 0:
        return pickle.dumps(Attack())
    stream = io.BytesIO()
    if how == 1:
        np.save(stream, np.array([Attack()], object), allow_pickle=True)
    elif how == 2:
        np.savez_compressed(stream, np.zeros(10**6))
    elif how == 3:
        head = {"descr": rng.choice(["<f4", "|b1", "<i8"]), "fortran_order": False, "shape": (10**11, 3)}
        np.lib.format.write_array_header_1_0(stream, head)
        stream.write(bytes(100))
    elif how == 4 and array.size and array.dtype.kind == "f":
        array.flat[rng.randrange(array.size)] = rng.choice([np.nan, np.inf, -np.inf])
        np.save(stream, array)
    elif how == 5 and array.size and array.dtype.kind in "iu":
        array.flat[rng.randrange(array.size)] = rng.choice(
            [np.iinfo(array.dtype).max, np.iinfo(array.dtype).min]
        )
        np.save(stream, array)
    else:
        np.save(stream, rng.choice([array[:-1], array.astype(np.float64), array.T, array[..., None]]))
    return stream.getvalue()


def mutate(rng, folder, files):
    """Change a saved search in one way; say whether its sums were made anew, as only an attacker would."""
    names = sorted(files)
    name, other = rng.choice(names), rng.choice(names)
    content = bytearray(files[name])
    how = rng.randrange(8)
    if how == 0:
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif how == 1:
        del content[rng.randrange(len(content)) :]
    elif how == 2:
        content = files[other]
    elif how == 3:
        content += bytes(rng.randrange(1, 100))
    elif how == 4:
        (folder / name).unlink()
        if rng.random() < 0.5:
            rng.choice([os.mkfifo, os.mkdir])(folder / name)
        return False
    elif how == 5:
        name = "manifest.json"
        content = json.dumps(edit(rng, json.loads(files[name]))).encode()
    else:
        manifest = json.loads(files["manifest.json"])
        del manifest["sha256"]
        if how == 6:
            edit(rng, manifest)
        else:
            old = rng.choice([each for each in names if each != "manifest.json"])
            attack = hostile_array(rng, files[old])
            new = hashlib.sha256(attack).hexdigest()
            (folder / f"{new}.npy").write_bytes(attack)
            table = manifest["arrays"]
            table[new] = table[old.removesuffix(".npy")]
            if rng.random() < 0.5:
                with suppress(ValueError):
                    array = as_array(attack)
                    table[new] = {"dtype": str(array.dtype), "shape": list(array.shape)}
            text = json.dumps(manifest["estimator"]).replace(old.removesuffix(".npy"), new)
            manifest["estimator"] = json.loads(text)
        manifest["sha256"] = persistence._sum_of_manifest(manifest)
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return True
    (folder / name).write_bytes(content)
    return False


def content_of(search):
    writer = persistence._Writer()
    return writer.encode(search, ""), sorted(writer.arrays)


def load_mutated(root, n_searches, seed):
    """Load mutated searches under the eyes of an audit hook, with the memory and the time measured."""
    original, folder, rng = Path(root, "original"), Path(root, "mutated"), random.Random(seed)
    asked = saved_search(original)
    (original / "manifest.json.lock").unlink()
    files = {file.name: file.read_bytes() for file in original.iterdir()}
    loaded = TextImageSearch.load(original)
    loaded.query(asked, k=3)
    expected = content_of(loaded)
    tracemalloc.start()
    TextImageSearch.load(original)
    honest = tracemalloc.get_traced_memory()[1]
    watching, seen = [False], []

    def watch(event, arguments):
        is_harmless = is_reading_of(folder, arguments) if event == "open" else event in HARMLESS
        if watching[0] and not is_harmless:
            seen.append((event, str(arguments)[:200]))

    sys.addaudithook(watch)
    # What slipped through all checks must not take the machine along.
    resource.setrlimit(resource.RLIMIT_AS, (2**34, 2**34))
    counts = {"equal": 0, "refused": 0, "attacker's own": 0}
    for number in range(n_searches):
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        is_signed = mutate(rng, folder, files)
        need = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
        tracemalloc.reset_peak()
        before, start = tracemalloc.get_traced_memory()[0], time.process_time()
        watching[0] = True
        try:
            mutated = TextImageSearch.load(folder)
        except SavedFileError:
            mutated = None
        finally:
            watching[0] = False
        assert time.process_time() - start < SECONDS, number
        assert tracemalloc.get_traced_memory()[1] - before < 2 * max(honest, need), number
        assert not seen, (number, seen)
        if mutated is None:
            counts["refused"] += 1
        elif not is_signed:
            assert content_of(mutated) == expected, number
            counts["equal"] += 1
        else:
            counts["attacker's own"] += 1
            ask(mutated, asked)
        shutil.rmtree(folder)
    assert not os.path.exists("canary")
    print(json.dumps(counts))


def is_reading_of(folder, arguments):
    path, mode, _ = arguments
    return mode in ("r", "rb", None) and str(path).startswith(str(folder))


def ask(search, sentence):
    """Ask what an attacker has changed, whose answers or errors are their own: but the process goes on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            search.query(sentence, k=3)
        except Exception as error:
            assert not isinstance(error, MemoryError | RecursionError)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes and limits are of POSIX")
@pytest.mark.parametrize("n_searches", [150, pytest.param(5000, marks=pytest.mark.slow)])
def test_mutated_searches_are_equal_or_refused(tmp_path, n_searches):
    done = subprocess.run(
        [sys.executable, "-W", "ignore::UserWarning", __file__, str(tmp_path), str(n_searches)],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert sum(counts.values()) == n_searches
    assert counts["refused"] > 0.6 * n_searches


if __name__ == "__main__":
    load_mutated(sys.argv[1], int(sys.argv[2]), seed=int(sys.argv[2]))
