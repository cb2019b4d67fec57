"""What is done to a search happens wholly or not at all, wherever it is interrupted."""

import copy
import errno
import itertools
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import mean_colour
from sklearn.pipeline import FeatureUnion

import txt2img
from txt2img import CaptionVectorizer, ImageFeaturizer, ImageIndex, TextImageSearch, TextToVisualRegressor
from txt2img.exceptions import SavedFileError

SOURCE = str(Path(txt2img.__file__).parent)
CHEAP = {"regressor": TextToVisualRegressor(), "calibration_share": None}


def corners(images):
    return np.stack([np.asarray(image.resize((2, 2)), np.float32).ravel() for image in images])


def as_it_is(search):
    """Tell all that can be seen of a search."""
    seen = {name: getattr(search, name) for name in ("bank_", "centre_", "n_features_in_", "words_")}
    seen["map"] = search.predict(list(search.words_)[:9])
    seen["described"] = search.describe(np.ones((1, search.n_features_in_), np.float32), k=3)
    if len(search):
        index = search.index_
        ids = index.ids_.tolist()
        assert index.rows_of(ids).tolist() == list(range(len(ids)))
        assert index._backend.n_slots == index._catalogue.n_slots
        seen |= {"ids": ids, "descriptors": index.descriptors_, "bias": index.bias_}
        seen |= {
            "hits": search.query(list(search.words_)[:3], k=len(ids)),
            "year": index.metadata_.get("year"),
        }
    return {name: each.tolist() if isinstance(each, np.ndarray) else each for name, each in seen.items()}


def interrupted_at(line, change, search):
    """Interrupt a change before a line of the library, by number; say whether it came so far."""
    lines = itertools.count()

    def on_line(frame, event, argument):
        if event == "line" and next(lines) == line:
            raise KeyboardInterrupt
        return on_line

    before = sys.gettrace()
    sys.settrace(lambda frame, *_: on_line if frame.f_code.co_filename.startswith(SOURCE) else None)
    try:
        change(search)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def n_lines(change, search):
    """Count the lines of the library that a change runs through."""
    low, high = 0, 64
    while interrupted_at(high, change, copy.deepcopy(search)):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if interrupted_at(middle, change, copy.deepcopy(search)) else (low, middle)
    return high


def check_every_interruption(change, search, most=150):
    """Interrupt a change at many places: the search is as before it or as after it, and can be changed."""
    done = copy.deepcopy(search)
    change(done)
    before, after = as_it_is(search), as_it_is(done)
    assert before != after
    total = n_lines(change, search)
    found = set()
    for line in np.unique(np.linspace(0, total - 1, min(total, most)).astype(int)):
        own = copy.deepcopy(search)
        assert interrupted_at(line, change, own)
        left = as_it_is(own)
        assert left in (before, after), line
        found.add(left == after)
        if left == before:
            change(own)
            assert as_it_is(own) == after
    assert False in found


@pytest.fixture(scope="module", params=["float32", "int8"])
def search(request, captioned):
    captions, descriptors = captioned
    index = ImageIndex(hubness="csls", dtype=request.param)
    search = TextImageSearch(index=index, **CHEAP).fit(descriptors[:40], captions[:40])
    return search.add(descriptors[:9], ids=list("abcdefghi"), metadata={"year": range(9)}).remove(["b"])


@pytest.fixture
def rows(captioned):
    return captioned[1]


def test_add_is_whole_or_not_at_all(search, rows):
    check_every_interruption(
        lambda own: own.add(rows[50:53], ids=["x", "b", "y"], metadata={"year": [1, 2, 3]}), search
    )


def test_the_first_add_is_whole_or_not_at_all(search, captioned):
    captions, descriptors = captioned
    empty = copy.deepcopy(search).fit(descriptors[:40], captions[:40])
    check_every_interruption(lambda own: own.add(descriptors[:3]), empty, most=60)


def test_remove_is_whole_or_not_at_all(search):
    check_every_interruption(lambda own: own.remove(["a", "i"]), search)


def test_update_of_the_index_is_whole_or_not_at_all(search, rows):
    changed = search.transform(rows[70:72])
    check_every_interruption(
        lambda own: own.index_.update(["a", "i"], changed, metadata={"year": [70, 71]}), search
    )


def test_compacting_removal_is_whole_or_not_at_all(search, monkeypatch):
    monkeypatch.setattr("txt2img.search.index.MOST_REMOVED", 0)
    check_every_interruption(lambda own: own.remove(list("acdefg")), search, most=60)


def test_fit_is_whole_or_not_at_all(search, captioned):
    captions, descriptors = captioned
    check_every_interruption(lambda own: own.fit(descriptors[100:130], captions[100:130]), search, most=40)


def test_search_with_several_featurizers_is_whole_or_not_at_all(scene_files):
    paths, captions = scene_files
    both = FeatureUnion([("mean", ImageFeaturizer(mean_colour)), ("corners", ImageFeaturizer(corners))])
    search = TextImageSearch(both, vectorizer=CaptionVectorizer(min_df=1), **CHEAP)
    search.fit(paths[:8], captions[:8]).add(paths[:4])
    check_every_interruption(lambda own: own.add(paths[4:7]), search, most=12)
    check_every_interruption(lambda own: own.fit(paths[8:16], captions[8:16]), search, most=12)


@pytest.fixture(scope="module")
def nine(captioned):
    """Fitted, with nine photographs in its gallery."""
    captions, descriptors = captioned
    return TextImageSearch(**CHEAP).fit(descriptors[:40], captions[:40]).add(descriptors[:9])


def test_save_is_whole_or_not_at_all(nine, tmp_path):
    changed = copy.deepcopy(nine).remove([3])
    nine.save(tmp_path)

    def save(own):
        own.save(tmp_path)

    total = 0
    for line in itertools.count(0, 61):
        if not interrupted_at(line, save, changed):
            break
        total += 1
        assert len(TextImageSearch.load(tmp_path)) in (8, 9)
        nine.save(tmp_path)
        assert len(TextImageSearch.load(tmp_path)) == 9
        assert not list(tmp_path.glob("*.part"))
    assert total > 10
    assert len(TextImageSearch.load(tmp_path)) == 8


def test_forks_of_an_index_do_not_see_one_another(rows):
    index = ImageIndex(dtype="int8").fit(rows[:3], ids=["a", "b", "c"]).add(rows[3:5], ids=["d", "e"])
    first, second = copy.copy(index), copy.copy(index)
    first.add(rows[5:6], ids=["f"])
    second.remove(["a"]).add(rows[6:8], ids=["f", "a"])
    index.add(rows[8:9], ids=["g"])
    for own, ids, at in (
        (first, "abcdef", [0, 1, 2, 3, 4, 5]),
        (second, "bcdefa", [1, 2, 3, 4, 6, 7]),
        (index, "abcdeg", [0, 1, 2, 3, 4, 8]),
    ):
        assert own.ids_.tolist() == list(ids)
        assert own.predict(rows[at]).tolist() == list(ids)
        assert own.rows_of(list(ids)).tolist() == list(range(len(ids)))
        np.testing.assert_allclose(
            own.descriptors_, ImageIndex(dtype="int8").fit(rows[at]).descriptors_, atol=1e-6
        )
    with pytest.raises(KeyError, match="not in the index, such as 'g'"):
        first.rows_of(["g"])


def test_failed_addition_to_faiss_leaves_it_as_it_was(rows, monkeypatch):
    pytest.importorskip("faiss")
    index = ImageIndex(backend="faiss").fit(rows[:20])
    before = index.search(rows[:30], k=20)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("txt2img.search.catalogue.Catalogue.add", interrupt)
        index.add(rows[20:25])
    for ours, theirs in zip(index.search(rows[:30], k=20), before):
        np.testing.assert_array_equal(ours, theirs)
    assert index.add(rows[25:30]).predict(rows[25:30]).tolist() == list(range(20, 25))


def interrupt(*arguments):
    raise KeyboardInterrupt


class TestOneWriter:
    @pytest.fixture
    def saved(self, rows, tmp_path):
        ImageIndex().fit(rows[:5]).save(tmp_path)
        return tmp_path

    def during_save(self, folder, monkeypatch, index, act):
        """Do something while an index is being saved."""
        replace = os.replace
        acts = iter([act])

        def act_and_replace(*arguments):
            for each in acts:
                each()
            replace(*arguments)

        monkeypatch.setattr(os, "replace", act_and_replace)
        index.save(folder)

    def test_second_writer_is_refused_and_the_first_goes_on(self, saved, rows, monkeypatch):
        def second():
            with pytest.raises(
                SavedFileError, match="is being changed by another process or thread: try again"
            ):
                ImageIndex().fit(rows[:7]).save(saved)

        self.during_save(saved, monkeypatch, ImageIndex().fit(rows[:6]), second)
        assert len(ImageIndex.load(saved)) == 6
        ImageIndex().fit(rows[:7]).save(saved)
        assert len(ImageIndex.load(saved)) == 7

    def test_readers_do_not_wait(self, saved, rows, monkeypatch):
        found = []
        self.during_save(
            saved,
            monkeypatch,
            ImageIndex().fit(rows[:6]),
            lambda: found.append(len(ImageIndex.load(saved))),
        )
        assert found == [5]

    def test_lock_of_a_dead_writer_does_not_stay(self, saved, rows):
        (saved / "manifest.json.lock").write_text("what a killed process left")
        ImageIndex().fit(rows[:6]).save(saved)
        assert len(ImageIndex.load(saved)) == 6

    def test_lock_alone_does_not_stand_in_the_way_of_the_first_save(self, rows, tmp_path):
        (tmp_path / "manifest.json.lock").touch()
        ImageIndex().fit(rows[:6]).save(tmp_path)
        assert len(ImageIndex.load(tmp_path)) == 6


@pytest.mark.parametrize("allowed", [0, 100, 5000])
def test_full_disk_is_told_and_leaves_the_old_search(nine, captioned, tmp_path, monkeypatch, allowed):
    captions, descriptors = captioned
    nine.save(tmp_path)
    other = TextImageSearch(**CHEAP).fit(descriptors[50:90], captions[50:90])
    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", full_after(allowed))
        with pytest.raises(OSError, match=r"No space left on device: '.*(npy|manifest.json)'"):
            other.save(tmp_path)
    assert len(TextImageSearch.load(tmp_path, verify=True)) == 9
    assert not list(tmp_path.glob("*.part"))


def full_after(n_bytes):
    """Make an `open` whose files have room for so many bytes all together."""
    real, left = open, [n_bytes]

    def open_on_a_full_disk(file, mode="r", *arguments, **options):
        stream = real(file, mode, *arguments, **options)
        if not set(mode) & set("wxa+"):
            return stream

        def write(content):
            left[0] -= len(content)
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return stream.write(content)

        return OnAFullDisk(stream, write)

    return open_on_a_full_disk


class OnAFullDisk:
    def __init__(self, stream, write):
        self.stream, self.write = stream, write

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stream.close()

    def __getattr__(self, name):
        return getattr(self.stream, name)
