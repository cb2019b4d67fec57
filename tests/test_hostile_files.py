"""Saved searches changed by an attacker, who makes their sums anew."""

import hashlib
import io
import json
import os
import tracemalloc

import numpy as np
import pytest

from txt2img import DescriptorWhitener, ImageIndex, TextImageSearch, TextToVisualRegressor, persistence
from txt2img.datasets import make_captioned_descriptors
from txt2img.exceptions import SavedFileError
from txt2img.search.belonging import check_belonging

CAPTIONS, DESCRIPTORS = make_captioned_descriptors(60, 2, random_state=0)
MiB = 2**20


def new_search(start, n_photographs=30, **parts):
    own = slice(start, start + n_photographs)
    search = TextImageSearch(regressor=TextToVisualRegressor(), calibration_share=None, **parts)
    return search.fit(DESCRIPTORS[own], CAPTIONS[own]).add(DESCRIPTORS[own])


@pytest.fixture
def saved(tmp_path):
    new_search(0).save(tmp_path)
    return tmp_path


class Editor:
    """The manifest of a saved search, to be changed."""

    def __init__(self, folder):
        self.folder = folder
        self.manifest = json.loads((folder / "manifest.json").read_text())
        self.fitted = self.manifest["estimator"]["fitted"]

    def array(self, array):
        """Put an array into the folder, and give what stands for it."""
        stream = io.BytesIO()
        np.save(stream, array)
        digest = hashlib.sha256(stream.getvalue()).hexdigest()
        (self.folder / f"{digest}.npy").write_bytes(stream.getvalue())
        self.manifest["arrays"][digest] = {"dtype": str(array.dtype), "shape": list(array.shape)}
        return {"array": digest}

    def sign(self):
        """Write the manifest with the sum that belongs to it."""
        self.manifest.pop("sha256")
        self.manifest["sha256"] = persistence._sum_of_manifest(self.manifest)
        (self.folder / "manifest.json").write_text(json.dumps(self.manifest))


def test_any_change_without_the_sum_is_noticed(saved):
    editor = Editor(saved)
    editor.manifest["estimator"]["parameters"]["bank_size"] = 9_999
    (saved / "manifest.json").write_text(json.dumps(editor.manifest))
    with pytest.raises(
        SavedFileError, match=r"manifest\.json is damaged: its SHA-256 sum is not the one in it"
    ):
        TextImageSearch.load(saved)
    editor.sign()
    assert TextImageSearch.load(saved).bank_size == 9_999


def test_an_array_asked_for_many_times_does_not_fill_the_memory(saved):
    editor = Editor(saved)
    editor.fitted["words_"] = [editor.array(np.zeros(MiB, np.float32))] * 500
    editor.sign()
    tracemalloc.start()
    try:
        search = TextImageSearch.load(saved)
        assert tracemalloc.get_traced_memory()[1] < 32 * MiB
    finally:
        tracemalloc.stop()
    assert len(search.words_) == 500


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", ["bank_", "whitener_", "regressor_", "index_"])
def test_nan_and_infinities_are_refused(saved, part, value):
    editor = Editor(saved)
    search = TextImageSearch.load(saved)
    if part == "bank_":
        place, name, array = editor.fitted, "bank_", search.bank_
    elif part == "whitener_":
        place, name, array = editor.fitted[part]["fitted"], "components_", search.whitener_.components_
    elif part == "regressor_":
        place, name, array = editor.fitted[part]["fitted"]["coefs_"], 0, search.regressor_.coefs_[0]
    else:
        place = editor.fitted[part]["fitted"]["backend_"]["dict"]
        name, array = "first_", search.index_.descriptors_
    array = array.copy()
    array.flat[3] = value
    place[name] = editor.array(array)
    editor.sign()
    with pytest.raises(SavedFileError, match=r"holds NaN or infinity in what .* has learned"):
        TextImageSearch.load(saved)


@pytest.mark.parametrize("column", [-1, 10**6, 2**40, 0, 1.0, True, None, "0"])
def test_terms_with_columns_outside_of_the_matrices_are_refused(saved, column):
    editor = Editor(saved)
    vocabulary = editor.fitted["vectorizer_"]["fitted"]["vocabulary_"]["dict"]
    vocabulary[list(vocabulary)[-1]] = column
    editor.sign()
    with pytest.raises(SavedFileError, match="the terms of the vocabulary have not one column each"):
        TextImageSearch.load(saved)


@pytest.mark.parametrize("shape", [(10**11, 3), (-1,), (-2, -3), (2**62, 4), (0, 2**62), (3,)])
def test_heads_that_do_not_fit_their_files_are_refused_at_once(saved, shape):
    editor = Editor(saved)
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    content = stream.getvalue() + bytes(24)
    digest = hashlib.sha256(content).hexdigest()
    (saved / f"{digest}.npy").write_bytes(content)
    editor.manifest["arrays"][digest] = {"dtype": "float32", "shape": list(shape)}
    editor.fitted["bank_"] = {"array": digest}
    editor.sign()
    with pytest.raises(SavedFileError, match=r"npy is not an array of numbers"):
        TextImageSearch.load(saved)


@pytest.mark.parametrize("how", [how for how in ("mkfifo", "mkdir") if hasattr(os, how)])
@pytest.mark.parametrize("name", ["manifest.json", "*.npy"])
def test_what_is_no_regular_file_is_refused(saved, name, how):
    file = sorted(saved.glob(name))[0]
    file.unlink()
    getattr(os, how)(file)
    with pytest.raises(SavedFileError, match=rf"{file.name} is not a regular file"):
        TextImageSearch.load(saved)


def test_a_file_in_place_of_the_folder_is_refused(saved):
    with pytest.raises(SavedFileError, match=r"holds no manifest\.json"):
        TextImageSearch.load(saved / "manifest.json")


@pytest.mark.parametrize(
    ("take", "message"),
    [
        (["vectorizer_"], r"the vectorizer knows \d+ terms, but the regressor was fitted on"),
        (["vectorizer_", "regressor_"], "the predictions of the regressor have .* numbers, but photographs"),
        (["whitener_"], "the predictions of the regressor have .* numbers, but photographs"),
        (["bank_"], "the queries of the bank have .* numbers, but photographs"),
        (["centre_"], "the mean of the descriptors have .* numbers, but photographs"),
        (["index_"], "the descriptors of the gallery have .* numbers, but photographs"),
        (
            ["n_features_in_"],
            r"the whitener was fitted on descriptors of 64 numbers, but those that come to it",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_parts_of_another_search_are_refused(saved, tmp_path_factory, take, message):
    folder = tmp_path_factory.mktemp("other")
    new_search(30, 20).save(folder)
    editor, other = Editor(saved), Editor(folder)
    for name in take:
        editor.fitted[name] = other.fitted[name] if name != "n_features_in_" else 63
    editor.manifest["arrays"] |= other.manifest["arrays"]
    for file in folder.glob("*.npy"):
        (saved / file.name).write_bytes(file.read_bytes())
    editor.sign()
    with pytest.raises(SavedFileError, match=message):
        TextImageSearch.load(saved)


def test_a_gallery_made_with_other_queries_is_refused():
    whitener = DescriptorWhitener(n_components=8)
    search, other = (new_search(start, whitener=whitener) for start in (0, 30))
    check_belonging(search)
    search.index_ = other.index_
    with pytest.raises(ValueError, match="the gallery corrects hubs by the queries of another search"):
        check_belonging(search)


@pytest.mark.parametrize(
    ("content", "ends", "message"),
    [
        (np.frombuffer(b"catdog", np.uint8), np.array([3, 7]), "do not end where the last string does"),
        (np.frombuffer(b"catdog", np.int8), np.array([3, 6]), "are not saved as bytes and ends"),
        (np.frombuffer(b"c\xffdogs", np.uint8), np.array([2, 6]), "saved string 0 is damaged"),
        (np.frombuffer(b"cat", np.uint8), np.array([3]), "there are not as many descriptors as ids"),
    ],
)
def test_ids_that_are_no_strings_or_not_one_a_photograph_are_refused(tmp_path, content, ends, message):
    ImageIndex().fit(np.eye(2), ids=["cat", "dog"]).save(tmp_path)
    editor = Editor(tmp_path)
    ids = editor.fitted["catalogue_"]["dict"]["ids_"]["dict"]
    ids |= {"content": editor.array(content), "ends": editor.array(ends)}
    editor.sign()
    with pytest.raises(SavedFileError, match=message):
        ImageIndex.load(tmp_path).predict(np.eye(2))


def test_metadata_of_more_photographs_than_there_are_is_refused(tmp_path):
    ImageIndex().fit(np.eye(2), metadata={"year": [1, 2]}).save(tmp_path)
    editor = Editor(tmp_path)
    editor.fitted["catalogue_"]["dict"]["metadata_"]["dict"]["year"] = editor.array(np.arange(3))
    editor.sign()
    with pytest.raises(SavedFileError, match="columns of metadata are of another length than the ids"):
        ImageIndex.load(tmp_path)
