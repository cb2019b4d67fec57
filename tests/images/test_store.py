"""What the store promises: nothing is described twice, nothing is lost, nothing is exchanged."""

import hashlib
import os
import pickle
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import mean_colour
from PIL import Image

from txt2img import ImageFeaturizer
from txt2img.exceptions import SavedFileError, UnreadablePhotographError
from txt2img.images import DescriptorStore, describing, recalling
from txt2img.images.store import FILE
from txt2img.persistence import load, save


class Counting:
    """A backbone whose answers are known, and which counts what it is asked."""

    cache_key = "mean colour, 1"

    def __init__(self):
        self.n_asked = 0

    def __call__(self, images):
        self.n_asked += len(images)
        return mean_colour(images)


@pytest.fixture
def counting():
    return Counting()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "store"


def featurizer_of(backbone, folder, **parameters):
    parameters = {"normalize": False, "batch_size": 2, "on_error": "warn", **parameters}
    return ImageFeaturizer(backbone, cache=folder, **parameters)


def long_ago(*paths):
    """Make files look as if they had been there for an hour, as most files have."""
    for path in paths:
        os.utime(path, (time.time() - 3600,) * 2)


def test_nothing_is_described_twice(counting, folder, photograph_files):
    expected = ImageFeaturizer(mean_colour, normalize=False).transform(photograph_files)
    for _ in range(3):
        found = featurizer_of(counting, folder).transform(photograph_files)
        np.testing.assert_array_equal(found, expected)
        assert counting.n_asked == 6


def test_renamed_and_double_photographs_are_recognised(counting, folder, photograph_files, tmp_path):
    featurizer = featurizer_of(counting, folder)
    expected = featurizer.transform(photograph_files)
    (tmp_path / "moved").mkdir()
    moved = [shutil.copy(path, tmp_path / "moved" / f"{i}.jpg") for i, path in enumerate(photograph_files)]
    contents = [Path(path).read_bytes() for path in photograph_files]
    photos = [*moved, *contents, *photograph_files][::-1]
    np.testing.assert_array_equal(featurizer.transform(photos), np.tile(expected, (3, 1))[::-1])
    assert counting.n_asked == 6


def test_double_photographs_of_one_call_are_described_once(counting, folder, photograph_files):
    photos = [photograph_files[i] for i in (0, 1, 0, 0, 2, 1, 0)]
    found = featurizer_of(counting, folder).transform(photos)
    np.testing.assert_array_equal(found, ImageFeaturizer(mean_colour, normalize=False).transform(photos))
    assert counting.n_asked == 3


def test_pictures_in_memory_are_known_by_their_pixels(counting, folder):
    red = np.full((9, 6, 3), (255, 0, 0), np.uint8)
    other_shape = red.reshape(6, 9, 3)
    photos = [red, Image.fromarray(red), other_shape, red.copy()]
    featurizer_of(counting, folder).transform(photos)
    assert counting.n_asked == 2


@pytest.mark.parametrize("double", [False, True])
def test_failures_stand_in_their_rows_and_are_tried_again(
    counting, folder, photograph_files, tmp_path, double
):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no photograph")
    photos = [bad, photograph_files[0], tmp_path / "gone.jpg", *[bad] * double, photograph_files[1], b""]
    featurizer = featurizer_of(counting, folder)
    rows = [row for row, photo in enumerate(photos) if photo not in photograph_files]
    for _ in range(2):
        with pytest.warns(UserWarning, match=f"{len(rows)} of {len(photos)} photographs"):
            found = featurizer.transform(photos)
        assert [failure.row for failure in featurizer.failures_] == rows
        assert {failure.reason for failure in featurizer.failures_} == {
            *("the file is empty", "No such file or directory"),
            featurizer.failures_[0].reason,
        }
        np.testing.assert_array_equal(np.flatnonzero(np.isnan(found).all(1)), rows)
    shutil.copy(photograph_files[5], bad)
    with pytest.warns(UserWarning, match="2 of"):
        np.testing.assert_array_equal(featurizer.transform(photos)[0], [255, 255, 255])


def test_an_error_keeps_the_batches_before(counting, folder, photograph_files):
    featurizer = featurizer_of(counting, folder, on_error="raise")
    with pytest.raises(UnreadablePhotographError, match=r"photos\[5\]"):
        featurizer.transform([*photograph_files[:5], b"", photograph_files[5]])
    featurizer.transform(photograph_files)
    assert counting.n_asked <= 7


def test_an_interrupt_keeps_the_batches_before(folder, photograph_files):
    class Interrupted(Counting):
        def __call__(self, images):
            if self.n_asked == 4:
                raise KeyboardInterrupt
            return super().__call__(images)

    with pytest.raises(KeyboardInterrupt):
        featurizer_of(Interrupted(), folder).transform(photograph_files)
    counting = Counting()
    featurizer_of(counting, folder).transform(photograph_files)
    assert counting.n_asked == 2


def test_files_that_have_not_changed_are_not_read(counting, folder, photograph_files, monkeypatch):
    long_ago(*photograph_files)
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10**10)
    featurizer = featurizer_of(counting, folder)
    expected = featurizer.transform(photograph_files)
    monkeypatch.setattr(recalling, "read_file", lambda path, **_: pytest.fail(f"{path} is read"))
    np.testing.assert_array_equal(featurizer.transform(photograph_files), expected)


def test_a_file_with_another_content_is_noticed_whatever_its_size_and_time(counting, folder, tmp_path):
    path = tmp_path / "photo.bmp"
    for colour in ("red", "blue", "lime"):
        Image.new("RGB", (8, 8), colour).save(path)
        os.utime(path, ns=(10**18, 10**18))
        found = featurizer_of(counting, folder).transform([path])
        np.testing.assert_array_equal(found, mean_colour([Image.new("RGB", (8, 8), colour)]))


def test_a_file_that_changes_between_sum_and_decoding_is_refused(counting, folder, tmp_path, monkeypatch):
    path, real = tmp_path / "photo.png", describing.decode_photograph
    Image.new("RGB", (8, 8), "red").save(path)

    def exchange_and_decode(*photograph, **how):
        Image.new("RGB", (8, 8), "blue").save(path)
        return real(*photograph, **how)

    featurizer = featurizer_of(counting, folder, on_error="raise")
    with monkeypatch.context() as patched:
        patched.setattr(describing, "decode_photograph", exchange_and_decode)
        with pytest.raises(UnreadablePhotographError, match="changed while it was being read"):
            featurizer.transform([path])
    np.testing.assert_array_equal(featurizer.transform([path]), [[0, 0, 255]])


@pytest.mark.parametrize(
    "parameters",
    [
        {"normalize": True},
        {"layers": ("middle", "last")},
        {"pooling": "max"},
        {"resolution": 128},
        {"framing": "whole"},
        {"mirrored": True},
        {"backbone": "efficientnet_lite1"},
    ],
)
def test_other_settings_are_other_descriptors(folder, photograph_files, parameters):
    photos = photograph_files[:2]
    parameters = {"backbone": "efficientnet_lite0", "normalize": False, **parameters}
    ImageFeaturizer("efficientnet_lite0", normalize=False, cache=folder).transform(photos)
    found = ImageFeaturizer(**parameters, cache=folder).transform(photos)
    np.testing.assert_array_equal(found, ImageFeaturizer(**parameters).transform(photos))
    with DescriptorStore(folder) as store:
        assert [count for _, count in store.counts()] == [2, 2]


@pytest.mark.parametrize("parameters", [{"batch_size": 1}, {"max_pixels": 10**6}, {"on_error": "raise"}])
def test_what_does_not_matter_to_descriptors_does_not_matter_to_the_store(
    counting, folder, photograph_files, parameters
):
    featurizer_of(counting, folder).transform(photograph_files)
    featurizer_of(counting, folder, **parameters).transform(photograph_files)
    assert counting.n_asked == 6


def test_modules_are_known_by_their_weights(folder):
    photo = np.full((9, 9, 3), 200, np.uint8)
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    first = featurizer_of(module, folder).transform([photo])
    np.testing.assert_array_equal(featurizer_of(module, folder).transform([photo]), first)
    for change in (module[0].weight, module[1].running_mean):
        with torch.no_grad():
            change += 1
        found = featurizer_of(module, folder).transform([photo])
        np.testing.assert_array_equal(found, ImageFeaturizer(module, normalize=False).transform([photo]))
    with DescriptorStore(folder) as store:
        assert len(store) == len(store.counts()) == 3


def test_callables_without_a_name_are_refused(folder, photograph_files):
    with pytest.raises(ValueError, match="cache_key"):
        featurizer_of(mean_colour, folder).transform(photograph_files)


def stored_rows(folder):
    with sqlite3.connect(folder / FILE) as database:
        return database.execute("SELECT photograph, descriptor, checksum FROM descriptors").fetchall()


def test_layout_can_be_read_by_other_programs(counting, folder, photograph_files):
    expected = featurizer_of(counting, folder).transform(photograph_files)
    with sqlite3.connect(folder / FILE) as database:
        ((description,),) = database.execute("SELECT description FROM settings").fetchall()
    rows = {photograph: (descriptor, checksum) for photograph, descriptor, checksum in stored_rows(folder)}
    for path, row in zip(photograph_files, expected):
        photograph = hashlib.sha256(Path(path).read_bytes()).digest()
        descriptor, checksum = rows[photograph]
        np.testing.assert_array_equal(np.frombuffer(descriptor, "<f4"), row)
        assert checksum == zlib.crc32(description.encode() + photograph + descriptor)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE descriptors SET descriptor = substr(descriptor, 1, 8)",
        "UPDATE descriptors SET descriptor = zeroblob(12)",
        "UPDATE descriptors SET photograph = zeroblob(1) || substr(photograph, 2)",
        "UPDATE descriptors SET descriptor = (SELECT max(descriptor) FROM descriptors)",
        "UPDATE settings SET description = '{}'",
        "DELETE FROM descriptors",
    ],
)
def test_damaged_descriptors_are_dropped_and_made_again(folder, photograph_files, damage):
    counting = Counting()
    expected = featurizer_of(counting, folder).transform(photograph_files)
    with sqlite3.connect(folder / FILE) as database:
        database.execute(damage)
    np.testing.assert_array_equal(featurizer_of(counting, folder).transform(photograph_files), expected)
    assert 11 <= counting.n_asked <= 12  # the largest descriptor may have stayed


def test_exchanged_descriptors_are_not_returned(folder, photograph_files):
    expected = featurizer_of(Counting(), folder).transform(photograph_files)
    with sqlite3.connect(folder / FILE) as database:
        rows = database.execute("SELECT rowid, descriptor FROM descriptors").fetchall()
        for (number, _), (_, descriptor) in zip(rows, rows[1:] + rows[:1]):
            database.execute("UPDATE descriptors SET descriptor = ? WHERE rowid = ?", (descriptor, number))
    np.testing.assert_array_equal(featurizer_of(Counting(), folder).transform(photograph_files), expected)


def test_a_damaged_foreign_or_newer_file_is_refused_with_its_name(folder, photograph_files):
    featurizer_of(Counting(), folder).transform(photograph_files)
    content = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    with pytest.raises(SavedFileError, match=r"descriptors.sqlite.*move it away"):
        featurizer_of(Counting(), folder).transform(photograph_files)
    (folder / FILE).write_bytes(b"no database at all" * 100)
    with pytest.raises(SavedFileError, match=r"descriptors.sqlite.*move it away"):
        DescriptorStore(folder)
    (folder / FILE).unlink()
    with sqlite3.connect(folder / FILE) as database:
        database.execute("CREATE TABLE mine (x)")
    with pytest.raises(SavedFileError, match="another program"):
        DescriptorStore(folder)
    (folder / FILE).write_bytes(content)
    with sqlite3.connect(folder / FILE) as database:
        database.execute("PRAGMA user_version = 9")
    with pytest.raises(SavedFileError, match="format version 9"):
        DescriptorStore(folder)


def test_size_and_pruning(counting, folder, photograph_files):
    lite = ImageFeaturizer("efficientnet_lite0", cache=folder)
    lite.transform(photograph_files[:2])
    featurizer_of(counting, folder).transform(photograph_files)
    with DescriptorStore(folder) as store:
        assert len(store) == 8
        assert [(settings["backbone"], n) for settings, n in store.counts()] == [
            ("efficientnet_lite0", 2),
            (Counting.cache_key, 6),
        ]
        before = store.n_bytes
        assert before >= 2 * 1280 * 4 + 6 * 3 * 4
        with pytest.raises(ValueError, match="pass backbone, older_than or missing"):
            store.prune()
        assert store.prune(backbone="resnet152") == store.prune(older_than=1) == 0
        assert store.prune(backbone="efficientnet_lite0") == 2
        assert store.n_bytes < before
        assert store.prune(older_than=-1) == 6
        assert len(store) == 0
    featurizer_of(counting, folder).transform(photograph_files)
    assert counting.n_asked == 12


def test_photographs_that_are_gone_are_pruned(counting, folder, photograph_files, tmp_path, monkeypatch):
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10**10)
    copy = shutil.copy(photograph_files[0], tmp_path / "copy.png")
    in_memory = np.zeros((5, 7), np.uint8)
    featurizer_of(counting, folder).transform([*photograph_files, copy, in_memory])
    for path in photograph_files[:3]:
        os.unlink(path)  # of the first there is a copy
    shutil.copy(photograph_files[5], photograph_files[3])
    featurizer_of(counting, folder).transform([photograph_files[3]])
    with DescriptorStore(folder) as store:
        assert store.prune(missing=True) == 3
        assert store.prune(missing=True) == 0
    n_asked = counting.n_asked
    featurizer_of(counting, folder).transform([*photograph_files[3:], copy, in_memory])
    assert counting.n_asked == n_asked


def test_the_featurizer_travels_with_its_store(folder, photograph_files):
    featurizer = ImageFeaturizer("efficientnet_lite0", cache=folder)
    expected = featurizer.fit_transform(photograph_files)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(featurizer)).transform(photograph_files), expected
    )


def test_threads_may_use_one_store(folder, photograph_files):
    expected = ImageFeaturizer(mean_colour, normalize=False).transform(photograph_files)
    with ThreadPoolExecutor(4) as pool:
        work = [pool.submit(featurizer_of(Counting(), folder).transform, photograph_files) for _ in range(8)]
        for each in work:
            np.testing.assert_array_equal(each.result(), expected)


def test_many_may_open_a_new_store_at_once(tmp_path):
    def open_store(number):
        together.wait()
        with DescriptorStore(tmp_path / str(number)) as store:
            return len(store)

    together = threading.Barrier(8)
    with ThreadPoolExecutor(8) as pool:
        for number in range(30):
            assert list(pool.map(open_store, [number] * 8)) == [0] * 8


PROGRAM = """
import sys, time
from conftest import mean_colour
from txt2img import ImageFeaturizer
from txt2img.images import list_photographs

photos, store, log, out, seconds = sys.argv[1:]

def slow_colour(images):
    with open(log, "a") as file:
        file.write("".join(f"{image.getpixel((0, 0))}\\n" for image in images))
    time.sleep(float(seconds))
    return mean_colour(images) / 7
slow_colour.cache_key = "slow colour"

featurizer = ImageFeaturizer(slow_colour, batch_size=8, cache=store)
print("ready", flush=True)
featurizer.transform(list_photographs(photos), out=out)
"""


def start(folder, out, *, store="store", log="log", seconds=0):
    """Describe the photographs of a folder in another process."""
    paths = [str(Path(__file__).parents[1]), str(Path(describing.__file__).parents[2])]
    arguments = [folder / "photos", folder / store, folder / log, folder / out, seconds]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result_of(process, folder, out):
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return np.load(folder / out)


def draw_many(folder, n_photographs):
    (folder / "photos").mkdir()
    for i in range(n_photographs):
        Image.new("RGB", (8, 8), (i % 250, i // 250, 99)).save(folder / "photos" / f"{i:05}.png")


@pytest.mark.parametrize("n_kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_kills_at_random_moments_lose_at_most_a_batch_each(tmp_path, n_kills):
    n_photographs = 240 * n_kills
    draw_many(tmp_path, n_photographs)
    expected = result_of(start(tmp_path, "a.npy", store="other", log="log0"), tmp_path, "a.npy")
    rng = np.random.default_rng(0)
    for _ in range(n_kills):
        process = start(tmp_path, "b.npy", seconds=0.03)
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.8))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "the run ended before it was killed"
    found = result_of(start(tmp_path, "b.npy"), tmp_path, "b.npy")
    assert expected.shape == (n_photographs, 3)
    assert found.tobytes() == expected.tobytes()
    described = (tmp_path / "log").read_text().splitlines()
    assert len(set(described)) == n_photographs
    assert len(described) - n_photographs <= 8 * n_kills


def test_two_processes_at_once(tmp_path):
    draw_many(tmp_path, 200)
    processes = [start(tmp_path, f"{i}.npy", seconds=0.01) for i in range(2)]
    one, other = (result_of(process, tmp_path, f"{i}.npy") for i, process in enumerate(processes))
    assert np.isfinite(one).all()
    np.testing.assert_array_equal(one, other)
    with DescriptorStore(tmp_path / "store") as store:
        assert len(store) == 200


def test_a_saved_featurizer_keeps_its_store(folder, tmp_path, photograph_files):
    featurizer = ImageFeaturizer("efficientnet_lite0", cache=folder).fit(photograph_files)
    save(featurizer, tmp_path / "saved")
    assert load(tmp_path / "saved").cache == str(folder)


@pytest.mark.parametrize("batch_size", [1, 7])
def test_work_in_pieces_is_the_same_to_the_bit(folder, scene_files, batch_size):
    paths = scene_files[0][:30]
    undisturbed = ImageFeaturizer("efficientnet_lite0").transform(paths)
    featurizer = ImageFeaturizer("efficientnet_lite0", batch_size=batch_size, cache=folder)
    for some in (paths[11:13], paths[::-3], paths[5:20]):
        featurizer.transform(some)
    assert featurizer.transform(paths).tobytes() == undisturbed.tobytes()
