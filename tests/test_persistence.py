import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.pipeline import FeatureUnion, make_pipeline

from txt2img import (
    CaptionVectorizer,
    DescriptorWhitener,
    ImageFeaturizer,
    ImageIndex,
    SentenceVectorizer,
    TextImageSearch,
    TextToVisualRegressor,
)
from txt2img.exceptions import SavedFileError
from txt2img.persistence import load, save


@pytest.fixture
def search(captioned):
    captions, descriptors = captioned
    fitted = TextImageSearch().fit(descriptors[:250], captions[:250])
    return fitted.add(descriptors[250:], ids=[f"photo {i} ñ" for i in range(50)])


@pytest.fixture
def saved(search, tmp_path):
    search.save(tmp_path / "model")
    return tmp_path / "model"


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())


def write_manifest(folder, manifest):
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_new_process_gives_the_same_answer_bit_for_bit(search, saved, captioned):
    queries = [own[0] for own in captioned[0][240:260]]
    code = (
        "import sys, json; from txt2img import TextImageSearch; s = TextImageSearch.load(sys.argv[1]);"
        "print(json.dumps([[(h.id, h.score.hex()) for h in a] for a in s.query(json.loads(sys.argv[2]))]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(saved), json.dumps(queries)],
        capture_output=True,
        text=True,
        check=True,
    )
    here = [[[hit.id, hit.score.hex()] for hit in answer] for answer in search.query(queries)]
    assert json.loads(done.stdout) == here


def test_loaded_search_goes_on_working(saved, captioned):
    loaded = TextImageSearch.load(saved)
    loaded.add(captioned[1][:2], ids=["a", "b"]).remove(["a", "photo 0 ñ"])
    assert len(loaded) == 50


@pytest.mark.parametrize("solver", ["ridge", "network"])
def test_parts_and_pipelines(captioned, tmp_path, solver):
    captions, descriptors = captioned
    sentences, targets = [own[0] for own in captions], descriptors
    both = FeatureUnion([("words", CaptionVectorizer()), ("meaning", SentenceVectorizer())])
    regressor = TextToVisualRegressor(solver, hidden=8, epochs=1, random_state=0)
    text = make_pipeline(both, regressor).fit(sentences, targets)
    save(text, tmp_path / "text")
    np.testing.assert_array_equal(load(tmp_path / "text").predict(sentences), text.predict(sentences))
    visual = make_pipeline(ImageFeaturizer("efficientnet_lite0"), DescriptorWhitener(8))
    visual[1].fit(descriptors)
    save(visual, tmp_path / "visual")
    np.testing.assert_array_equal(
        load(tmp_path / "visual")[1].transform(targets), visual[1].transform(targets)
    )


def test_saving_again_replaces_and_leaves_no_array_behind(search, saved):
    before = {file.name for file in saved.iterdir()}
    search.remove(["photo 1 ñ"]).save(saved)
    assert len(TextImageSearch.load(saved)) == 49
    listed = {f"{digest}.npy" for digest in manifest_of(saved)["arrays"]} | {"manifest.json"}
    assert {file.name for file in saved.iterdir()} == listed != before


def test_a_crash_at_any_write_leaves_the_old_or_the_new(search, saved, monkeypatch):
    import os

    replace, crashed = os.replace, 0
    search.remove(["photo 1 ñ"])
    for n in range(20):
        calls = iter(range(n))

        def fail_at_last(source, target, calls=calls):
            if next(calls, None) is None:
                raise OSError("no space left on device")
            replace(source, target)

        monkeypatch.setattr(os, "replace", fail_at_last)
        try:
            search.save(saved)
        except OSError:
            crashed += 1
            assert len(TextImageSearch.load(saved)) == 50
            continue
        break
    assert crashed > 1
    assert len(TextImageSearch.load(saved)) == 49
    assert not list(saved.glob("*.part"))


def test_what_cannot_be_saved_is_named(captioned, tmp_path):
    captions, descriptors = captioned
    search = TextImageSearch(ImageFeaturizer(len)).fit(descriptors, captions)
    with pytest.raises(TypeError, match=r"estimator\.featurizer\.backbone is a .*cannot be saved"):
        search.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_folder_with_other_files_is_refused(search, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(FileExistsError, match="holds files but no saved estimator"):
        search.save(tmp_path)


def test_nothing_there_and_another_class(tmp_path):
    with pytest.raises(SavedFileError, match=r"holds no manifest\.json"):
        TextImageSearch.load(tmp_path / "gone")
    save(ImageIndex().fit([[1.0]]), tmp_path / "index")
    with pytest.raises(SavedFileError, match="holds a ImageIndex, not a TextImageSearch"):
        TextImageSearch.load(tmp_path / "index")


def test_damaged_and_missing_arrays(saved):
    file = sorted(saved.glob("*.npy"))[0]
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(SavedFileError, match="is damaged: its SHA-256"):
        load(saved)
    file.unlink()
    with pytest.raises(SavedFileError, match="is missing"):
        load(saved)


def test_pickle_in_disguise_runs_no_code(saved, tmp_path):
    import hashlib
    import io

    class Canary:
        def __reduce__(self):
            return open, (str(tmp_path / "canary"), "w")

    buffer = io.BytesIO()
    np.save(buffer, np.array([Canary()], dtype=object), allow_pickle=True)
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    for payload in (content, pickle.dumps(Canary())):
        digest = hashlib.sha256(payload).hexdigest()
        (saved / f"{digest}.npy").write_bytes(payload)
        manifest = manifest_of(saved)
        manifest["arrays"][digest] = {}
        manifest["estimator"]["fitted"]["bank_"] = {"array": digest}
        write_manifest(saved, manifest)
        with pytest.raises(SavedFileError):
            load(saved)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format="other"), "is not a manifest of txt2img"),
        (lambda m: m.update(format_version=99), "format version 99 and this txt2img reads 1"),
        (lambda m: m.pop("estimator"), "is damaged"),
        (lambda m: m["estimator"].update({"class": "Popen"}), "class 'Popen', which is not allowed"),
        (
            lambda m: m["estimator"]["fitted"].update({"fit": 1}),
            "sets the attribute 'fit', which is not allowed",
        ),
        (lambda m: m["estimator"]["fitted"].update(__class__=1), "sets the attribute '__class__'"),
        (
            lambda m: m["estimator"]["fitted"].update(bank_={"array": "../x"}),
            r"does not list the array '\.\./x'",
        ),
        (lambda m: m["estimator"]["fitted"].update(bank_={"code": "x"}), "unknown kind 'code'"),
        (lambda m: m["estimator"]["parameters"].update(nonsense=1), "is damaged"),
    ],
)
def test_hostile_and_damaged_manifests(saved, change, message):
    manifest = manifest_of(saved)
    change(manifest)
    write_manifest(saved, manifest)
    with pytest.raises(SavedFileError, match=message):
        load(saved)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_manifests_that_are_no_manifest(saved, content):
    (saved / "manifest.json").write_bytes(content)
    with pytest.raises(SavedFileError):
        load(saved)
