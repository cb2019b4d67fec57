"""Saving an index: mapped into memory, killed at any moment, replaced while others read."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from txt2img import ImageIndex, persistence
from txt2img.exceptions import SavedFileError

N, D = 2000, 64
QUERIES = np.random.default_rng(1).normal(size=(5, D))


def new_index(value=0, dtype="float32"):
    """Make an index in which all that there is tells which one it is."""
    gallery = np.random.default_rng(value).normal(size=(N, D))
    ids = [f"{value} ñ {i}.jpg" for i in range(N)]
    return ImageIndex(dtype=dtype).fit(gallery, ids=ids, metadata={"value": np.full(N, value), "name": ids})


def value_of(index):
    """Check that an index is whole, and tell which one it is."""
    (value,) = np.unique(index.metadata_["value"])
    expected = new_index(value)
    assert_array_equal(index.search(QUERIES, k=3)[0], expected.search(QUERIES, k=3)[0])
    assert_array_equal(index.ids_, expected.ids_)
    return value


@pytest.fixture
def mapped(monkeypatch):
    """Let every array but the smallest be mapped."""
    monkeypatch.setattr(persistence, "MAPPED_BYTES", 1000)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_a_mapped_index_answers_alike_and_can_be_changed(mapped, tmp_path, dtype):
    index = new_index(dtype=dtype)
    index.save(tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    for verify in (False, True):
        loaded = ImageIndex.load(tmp_path, verify=verify)
        assert isinstance(root_of(loaded._backend._first), np.memmap)
        for ours, theirs in zip(loaded.search(QUERIES, k=9), index.search(QUERIES, k=9)):
            assert_array_equal(ours, theirs)
        where = {"name": ("in", ["0 ñ 7.jpg", "0 ñ 8.jpg"])}
        assert loaded.search(QUERIES, k=9, where=where)[1].shape == (5, 2)
        loaded.remove(["0 ñ 5.jpg"]).update(["0 ñ 6.jpg"], QUERIES[:1])
        loaded.add(QUERIES[1:2], ids=["new"], metadata={"value": [0], "name": ["new"]})
        assert loaded.predict(QUERIES[:2]).tolist() == ["0 ñ 6.jpg", "new"]
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def root_of(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def test_ids_may_be_names_of_files_that_are_no_text(tmp_path):
    ids = ["caf\udce9.jpg", "ñ.jpg"]
    ImageIndex().fit(np.eye(2), ids=ids).save(tmp_path)
    assert ImageIndex.load(tmp_path).ids_.tolist() == ids


def test_loading_reads_neither_descriptors_nor_ids(mapped, tmp_path, monkeypatch):
    new_index().save(tmp_path)
    read, read_bytes = [], Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda file: read.append(file) or read_bytes(file))
    monkeypatch.setattr(persistence.hashlib, "file_digest", no_reading)
    assert len(ImageIndex.load(tmp_path)) == N
    assert sum(file.stat().st_size for file in read if file.suffix == ".npy") < 1000
    with pytest.raises(InterruptedError):
        ImageIndex.load(tmp_path, verify=True)


def no_reading(*arguments):
    raise InterruptedError("a file was read")


def test_damage_to_a_mapped_file_is_noticed(mapped, tmp_path):
    new_index().save(tmp_path)
    file = max(tmp_path.glob("*.npy"), key=lambda file: file.stat().st_size)
    content = file.read_bytes()
    for damaged in (content[:-1], content + b"x", content[: len(content) // 2]):
        file.write_bytes(damaged)
        with pytest.raises(SavedFileError, match=r"cut off|longer than its array"):
            ImageIndex.load(tmp_path)
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(SavedFileError, match=f"{file.name} is damaged: its SHA-256 sum"):
        ImageIndex.load(tmp_path, verify=True)
    file.unlink()
    with pytest.raises(SavedFileError, match=f"{file.name} is missing"):
        ImageIndex.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda fitted: fitted["backend_"]["dict"].update(first_=fitted["backend_"]["dict"]["later_"]),
        lambda fitted: fitted["backend_"]["dict"].pop("first_"),
        lambda fitted: fitted["catalogue_"]["dict"].update(ids_=[1, 2]),
        lambda fitted: fitted.update(n_features_in_=D + 1),
        lambda fitted: fitted.pop("catalogue_"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(tmp_path, change):
    new_index().save(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    change(manifest["estimator"]["fitted"])
    del manifest["sha256"]
    manifest["sha256"] = persistence._sum_of_manifest(manifest)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SavedFileError, match="is damaged"):
        ImageIndex.load(tmp_path)


def test_after_a_change_only_what_changed_is_written(tmp_path):
    index = new_index()
    index.save(tmp_path)
    times = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*.npy")}
    index.add(QUERIES[:1], ids=["new"], metadata={"value": [0], "name": ["new"]})
    index.save(tmp_path)
    descriptors = max(times, key=lambda file: file.exists() and file.stat().st_size)
    assert descriptors.stat().st_mtime_ns == times[descriptors]
    assert len(ImageIndex.load(tmp_path)) == N + 1


def test_readers_go_on_while_a_writer_replaces(mapped, tmp_path):
    new_index(0).save(tmp_path)
    reader = ImageIndex.load(tmp_path)
    new_index(1).save(tmp_path)
    assert value_of(reader) == 0
    assert value_of(ImageIndex.load(tmp_path)) == 1


def test_a_reader_that_a_writer_overtakes_reads_what_was_written(tmp_path, monkeypatch):
    new_index(0).save(tmp_path)
    read, later = persistence._read_manifest, iter([1])

    def read_and_be_overtaken(path):
        content = read(path)
        for value in later:
            new_index(value).save(tmp_path)
        return content

    monkeypatch.setattr(persistence, "_read_manifest", read_and_be_overtaken)
    assert value_of(ImageIndex.load(tmp_path)) == 1


WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from test_index_saving import new_index
indexes = [new_index(value) for value in (0, 1)]
print("ready", flush=True)
while True:
    for index in indexes:
        index.save(sys.argv[1])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of POSIX")
@pytest.mark.parametrize("n_kills", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_a_killed_writer_leaves_the_old_index_or_the_new(tmp_path, n_kills):
    folder = tmp_path / "index"
    new_index(0).save(folder)
    rng, here = np.random.default_rng(n_kills), os.path.dirname(__file__)
    for _ in range(n_kills):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), here], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0, 0.1))
            writer.send_signal(signal.SIGKILL)
        assert value_of(ImageIndex.load(folder, verify=True)) in (0, 1)
    new_index(1).save(folder)
    assert not list(folder.glob("*.part"))
    assert value_of(ImageIndex.load(folder)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked at each step")
def test_a_writer_killed_at_any_step_leaves_the_old_index_or_the_new(tmp_path):
    """Kill at every call that changes the folder, not only at those that chance finds."""
    for step in itertools.count():
        folder = tmp_path / str(step)
        new_index(0).save(folder)
        code = KILLED_AT.format(step=step)
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder), os.path.dirname(__file__)], capture_output=True
        )
        assert value_of(ImageIndex.load(folder, verify=True)) == (1 if done.returncode == 0 else 0)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert step == 4  # three arrays that changed, and the manifest


KILLED_AT = """
import itertools, os, signal, sys
sys.path.insert(0, sys.argv[2])
from test_index_saving import new_index
index, calls = new_index(1), itertools.count()
replace = os.replace
def replace_or_die(*arguments):
    if next(calls) == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*arguments)
os.replace = replace_or_die
index.save(sys.argv[1])
"""
