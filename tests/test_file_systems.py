"""Folders that cannot be written to, full, read-only or another user's: an error, and no harm done."""

import os
import subprocess
import tempfile
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from conftest import mean_colour
from PIL import Image

import txt2img
from txt2img import ImageFeaturizer, ImageIndex, TextImageSearch, TextToVisualRegressor
from txt2img.album import Album
from txt2img.datasets import make_captioned_descriptors
from txt2img.datasets.download import download
from txt2img.evaluation import contact_sheet
from txt2img.exceptions import DownloadError, SavedFileError

if os.name != "posix":
    pytest.skip("the obstacles are made of seteuid and mount, which only POSIX has", allow_module_level=True)

NOBODY = 65534
PHOTOGRAPHS = [Image.new("RGB", (4, 4), (i, 2 * i, 0)) for i in range(40)]
ROWS = np.random.default_rng(0).normal(size=(2000, 64)).astype(np.float32)


def mount(*arguments):
    subprocess.run(["mount", "-t", "tmpfs", *arguments], check=True, capture_output=True)


def can_mount():
    """Say whether this user may mount: root may, but not in every container."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            mount("tmpfs", folder)
        except (OSError, subprocess.CalledProcessError):
            return False
        subprocess.run(["umount", folder], check=True)
    return True


@contextmanager
def full(folder):
    filler = folder / "filler"
    with open(filler, "wb", buffering=0) as stream, pytest.raises(OSError, match="No space left"):
        while True:
            stream.write(bytes(4096))
    yield "No space left on device|disk is full|disk I/O error"
    filler.unlink()


@contextmanager
def read_only(folder):
    mount("-o", "remount,ro", "tmpfs", folder)
    yield "Read-only file system|readonly database|unable to open database file"
    mount("-o", "remount,rw", "tmpfs", folder)


@contextmanager
def of_another_user(folder):
    files = [folder, *folder.rglob("*")]
    modes = [file.stat().st_mode for file in files]
    for file in files:
        file.chmod(0o555 if file.is_dir() else 0o444)
    user = os.geteuid()
    if user == 0:  # whom no permissions bind
        os.seteuid(NOBODY)
    try:
        yield "Permission denied|readonly database|unable to open database file"
    finally:
        os.seteuid(user)
    for file, mode in zip(files, modes):
        file.chmod(mode)


def can_be_another_user():
    """Say whether permissions bind this user, or one who they bind can read the libraries."""
    user = os.geteuid()
    if user != 0:
        return True
    os.seteuid(NOBODY)
    try:
        return all(os.access(file, os.R_OK, effective_ids=True) for file in (txt2img.__file__, np.__file__))
    finally:
        os.seteuid(user)


MOUNTS = can_mount()
OBSTACLES = [of_another_user] * can_be_another_user() + [full, read_only] * MOUNTS


@pytest.fixture
def folder():
    """Return a folder that every user reaches, on a file system of its own where that can be had."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        if MOUNTS:
            mount("-o", "size=24m,mode=755", "tmpfs", folder)
        yield Path(folder)
        if MOUNTS:
            subprocess.run(["umount", folder], check=True)


def wide(images):
    """Describe pictures by many numbers."""
    return np.repeat(mean_colour(images), 1000, axis=1)


wide.cache_key = "many numbers"


class Saving:
    def before(self, folder):
        ImageIndex().fit(ROWS[:30]).save(folder / "index")

    def write(self, folder):
        ImageIndex().fit(ROWS).save(folder / "index")

    def there(self, folder):
        return len(ImageIndex.load(folder / "index", verify=True))


class AddingAndSaving(Saving):
    def before(self, folder):
        captions, descriptors = make_captioned_descriptors(40, 1, random_state=0)
        search = TextImageSearch(regressor=TextToVisualRegressor(), calibration_share=None)
        search.fit(descriptors, captions).add(descriptors[:9]).save(folder / "search")

    def write(self, folder):
        search = TextImageSearch.load(folder / "search")
        search.add(ROWS).save(folder / "search")

    def there(self, folder):
        return len(TextImageSearch.load(folder / "search", verify=True))


class FillingAStore:
    def before(self, folder):
        ImageFeaturizer(wide, cache=folder / "store").transform(PHOTOGRAPHS[:3])

    def write(self, folder):
        ImageFeaturizer(wide, cache=folder / "store").transform(PHOTOGRAPHS)

    def there(self, folder):
        seen = []

        def watched(images):
            seen.extend(images)
            return wide(images)

        watched.cache_key = wide.cache_key
        ImageFeaturizer(watched, cache=folder / "store").transform(PHOTOGRAPHS[:3])
        assert not seen
        return None


class WritingDescriptors:
    def before(self, folder):
        ImageFeaturizer(wide).transform(PHOTOGRAPHS[:3], out=folder / "own" / "descriptors.npy")

    def write(self, folder):
        ImageFeaturizer(wide).transform(PHOTOGRAPHS, out=folder / "own" / "descriptors.npy")

    def there(self, folder):
        return len(np.load(folder / "own" / "descriptors.npy"))


class DrawingASheet:
    def before(self, folder):
        contact_sheet([("red", [(PHOTOGRAPHS[0], "1", True)])], folder / "own" / "sheet.png")

    def write(self, folder):
        contact_sheet([("blue", [(PHOTOGRAPHS[1], "1", None)])], folder / "own" / "sheet.png")

    def there(self, folder):
        return Image.open(folder / "own" / "sheet.png").tobytes()


class Fetching:
    def before(self, folder):
        self.fetch(folder / "own" / "first")

    def write(self, folder):
        self.fetch(folder / "own" / "second")

    def there(self, folder):
        return [file.name for file in sorted((folder / "own").iterdir()) if file.suffix != ".part"]

    def fetch(self, file):
        with tempfile.TemporaryDirectory() as served:
            Path(served, file.name).write_bytes(bytes(10**5))
            with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=served)) as server:
                Thread(target=server.serve_forever, args=(0.01,)).start()
                try:
                    download(f"http://127.0.0.1:{server.server_port}/{file.name}", file)
                finally:
                    server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


class KeepingAnAlbum:
    def before(self, folder):
        (folder / "photographs").mkdir()
        PHOTOGRAPHS[0].save(folder / "photographs" / "0.png")
        self.write(folder)
        PHOTOGRAPHS[39].save(folder / "photographs" / "39.png")

    def write(self, folder):
        Album(folder / "album", backbone="efficientnet_lite0").index([folder / "photographs"])

    def there(self, folder):
        return len(Album(folder / "album").load())


WAYS = [Saving, AddingAndSaving, FillingAStore, WritingDescriptors, DrawingASheet, Fetching]
WAYS += [pytest.param(KeepingAnAlbum, marks=pytest.mark.slow)]


@pytest.mark.parametrize("obstacle", OBSTACLES)
@pytest.mark.parametrize("way", WAYS)
def test_what_cannot_be_written_is_told_and_harms_nothing(folder, way, obstacle):
    (folder / "own").mkdir()
    way().before(folder)
    before = way().there(folder)
    with obstacle(folder) as told, pytest.raises((OSError, SavedFileError, DownloadError), match=told):
        way().write(folder)
    assert way().there(folder) == before
    way().write(folder)
    assert before is None or way().there(folder) != before
    assert not list(folder.rglob("*.part"))
