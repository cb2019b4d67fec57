import functools
import hashlib
import io
import itertools
import json
import os
import pickle
import shutil
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from conftest import mean_colour
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.kernel_ridge import KernelRidge
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from txt2img import (
    CaptionVectorizer,
    DescriptorWhitener,
    ImageFeaturizer,
    ImageIndex,
    RetrievalEvaluator,
    SentenceVectorizer,
    TextImageSearch,
    TextToVisualRegressor,
    persistence,
)
from txt2img.exceptions import SavedFileError
from txt2img.persistence import load, save

pytestmark = pytest.mark.filterwarnings("ignore::txt2img.exceptions.UnknownWordsWarning")

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(30, 6)), rng.normal(size=(30, 4))
SENTENCES = ["un niño en la playa", "un perro corre", "el perro duerme en el sofá", "la playa y el niño"] * 3
ESTIMATORS = {
    "ridge": lambda: TextToVisualRegressor(alpha=np.float32(0.1)).fit(X.astype(np.float32), Y),
    "ridge of one output": lambda: TextToVisualRegressor().fit(X, Y[:, 0]),
    "network": lambda: TextToVisualRegressor("network", hidden=5, epochs=2, random_state=0).fit(X, Y),
    "whitener": lambda: DescriptorWhitener(3).fit(X),
    "whitener in parts": lambda: DescriptorWhitener(3).partial_fit(X[:9]).partial_fit(X[9:]),
    "words": lambda: CaptionVectorizer(
        language="es", ngram_range=(1, 2), char_ngram_range=(2, 3), max_df=0.9, dtype=np.float64
    ).fit(SENTENCES),
    "sentences": lambda: SentenceVectorizer(batch_size=2).fit(SENTENCES),
    "photographs": lambda: ImageFeaturizer("efficientnet_lite0", on_error="warn").fit(["a.jpg"]),
    "cosine": lambda: ImageIndex().fit(X, ids=[f"{i} ñ \ud800.jpg" for i in range(30)]),
    "euclidean": lambda: ImageIndex("euclidean").fit(X),
    "corrected": lambda: ImageIndex(hubness="csls").fit(
        X, bank=X[:7], ids=[("album", 2**70 + i) for i in range(30)]
    ),
    "emptied": lambda: ImageIndex().fit(X).remove(range(30)),
    "evaluator": lambda: RetrievalEvaluator(ks=(1, 3)),
    "pipeline": lambda: make_pipeline(
        CaptionVectorizer(), StandardScaler(with_mean=False), TextToVisualRegressor()
    ).fit(SENTENCES, Y[:12]),
    "union": lambda: FeatureUnion([("words", CaptionVectorizer()), ("meaning", SentenceVectorizer())]).fit(
        SENTENCES
    ),
    "kernel ridge": lambda: make_pipeline(Normalizer(), KernelRidge(kernel="rbf", gamma=0.3)).fit(X, Y),
    "not fitted": lambda: TextImageSearch.from_preset("recipe"),
}


@functools.cache
def fitted(name):
    return ESTIMATORS[name]()


@pytest.fixture(scope="module")
def search(captioned):
    captions, descriptors = captioned
    search = TextImageSearch().fit(descriptors[:100], captions[:100])
    return search.add(descriptors[100:150], ids=[f"photo {i} ñ" for i in range(50)])


@pytest.fixture
def saved(search, tmp_path):
    search.save(tmp_path / "model")
    return tmp_path / "model"


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())


def write_manifest(folder, manifest):
    """Write a manifest with the sum that belongs to it, as an attacker would."""
    manifest.pop("sha256", None)
    manifest["sha256"] = persistence._sum_of_manifest(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def plant_array(folder, content):
    """Put the content of a file in the place of an array, with name and manifest as they should be."""
    digest = hashlib.sha256(content).hexdigest()
    (folder / f"{digest}.npy").write_bytes(content)
    manifest = manifest_of(folder)
    manifest["arrays"][digest] = {"dtype": "float32", "shape": [1]}
    manifest["estimator"]["fitted"]["bank_"] = {"array": digest}
    write_manifest(folder, manifest)


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def assert_same(ours, theirs):
    """Same types, same values, arrays the same bit for bit, through all nested parts."""
    if isinstance(theirs, np.generic):
        theirs = theirs.item()
    assert type(ours) is type(theirs)
    if isinstance(theirs, BaseEstimator):
        assert_same(ours.get_params(deep=False), theirs.get_params(deep=False))
        assert_same(*map(fitted_state, (ours, theirs)))
    elif isinstance(theirs, np.ndarray):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        assert ours.flags.f_contiguous == theirs.flags.f_contiguous
        assert (
            ours.tolist() == theirs.tolist() if ours.dtype == object else ours.tobytes() == theirs.tobytes()
        )
        assert ours.flags.writeable
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        assert_same(list(ours.values()), list(theirs.values()))
    elif isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs)
        for our, their in zip(ours, theirs):
            assert_same(our, their)
    else:
        assert ours == theirs


def fitted_state(estimator):
    if hasattr(estimator, "_saved_state"):
        return estimator._saved_state()
    return {name: value for name, value in vars(estimator).items() if name.endswith("_")}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_what_is_loaded_is_what_was_saved_bit_for_bit(name, tmp_path):
    save(fitted(name), tmp_path)
    assert_same(load(str(tmp_path)), fitted(name))


def test_answers_of_what_was_loaded_are_the_same_bit_for_bit(tmp_path):
    for name in ("ridge", "ridge of one output", "network", "kernel ridge"):
        save(fitted(name), tmp_path)
        assert_array_equal(load(tmp_path).predict(X), fitted(name).predict(X))
    for name, data in [("words", SENTENCES), ("union", SENTENCES), ("sentences", SENTENCES), ("whitener", X)]:
        save(fitted(name), tmp_path)
        ours, theirs = (each.transform(data) for each in (load(tmp_path), fitted(name)))
        assert_array_equal(*(getattr(each, "toarray", lambda each=each: each)() for each in (ours, theirs)))
    save(fitted("corrected"), tmp_path)
    for ours, theirs in zip(load(tmp_path).search(X, k=30), fitted("corrected").search(X, k=30)):
        assert_array_equal(ours, theirs)


def test_what_was_loaded_can_learn_on(tmp_path, search, captioned):
    save(fitted("whitener in parts"), tmp_path / "whitener")
    loaded = load(tmp_path / "whitener").partial_fit(X + 1)
    at_once = DescriptorWhitener(3).partial_fit(X[:9]).partial_fit(X[9:]).partial_fit(X + 1)
    assert_array_equal(loaded.components_, at_once.components_)
    search.save(tmp_path / "search")
    loaded = TextImageSearch.load(tmp_path / "search")
    loaded.add(captioned[1][:2], ids=["a", "b"]).remove(["a", "photo 0 ñ"])
    assert len(loaded) == 50
    assert len(search) == 50


def test_a_new_process_gives_the_same_answers_bit_for_bit(captioned, scene_files, tmp_path):
    captions, descriptors = captioned
    network = TextToVisualRegressor("network", hidden=16, epochs=2, random_state=0)
    paths, scene_captions = scene_files
    by_files = TextImageSearch(ImageFeaturizer("efficientnet_lite0"), vectorizer=CaptionVectorizer(min_df=1))
    searches = {
        "default": (TextImageSearch().fit(descriptors, captions), descriptors[:40], captions[5]),
        "recipe": (
            TextImageSearch.from_preset("recipe", regressor=network).fit(descriptors, captions),
            descriptors[:40],
            captions[5],
        ),
        "best": (
            TextImageSearch.from_preset("best").fit(descriptors[:60], captions[:60]),
            descriptors[:40],
            captions[5],
        ),
        "files": (by_files.fit(paths[:12], scene_captions[:12]), paths[:8], scene_captions[3]),
    }
    expected = {}
    for name, (search, photos, queries) in searches.items():
        search.add(photos).save(tmp_path / name)
        answers = search.query(queries, k=8)
        expected[name] = [[[hit.id, hit.score.hex(), hit.rank] for hit in hits] for hits in answers]
    code = """
import json, sys
from txt2img import TextImageSearch
asked = json.load(sys.stdin)
answers = {name: TextImageSearch.load(f"{sys.argv[1]}/{name}").query(asked[name], k=8) for name in asked}
print(json.dumps({
    name: [[[hit.id, hit.score.hex(), hit.rank] for hit in hits] for hits in own]
    for name, own in answers.items()
}))
"""
    asked = json.dumps({name: queries for name, (_, _, queries) in searches.items()})
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)],
        input=asked,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == expected


def test_saving_again_replaces_and_leaves_no_array_behind(search, saved):
    before = {file.name for file in saved.iterdir()}
    smaller = TextImageSearch.load(saved).remove(["photo 1 ñ"])
    smaller.save(saved)
    assert len(TextImageSearch.load(saved)) == 49
    listed = {f"{digest}.npy" for digest in manifest_of(saved)["arrays"]}
    listed |= {"manifest.json", "manifest.json.lock"}
    assert {file.name for file in saved.iterdir()} == listed != before


def test_saving_again_leaves_files_of_the_user_alone(search, saved):
    (saved / "descriptors.npy").write_bytes(npy(X))
    (saved / "notes.txt").write_text("mine")
    search.save(saved)
    assert (saved / "descriptors.npy").exists()
    assert (saved / "notes.txt").read_text() == "mine"


def test_saving_again_mends_a_damaged_array(search, saved):
    for file in saved.glob("*.npy"):
        file.write_bytes(b"damaged")
    search.save(saved)
    assert_same(load(saved), search)


@pytest.mark.parametrize("error", [OSError("no space left on device"), KeyboardInterrupt()])
def test_a_crash_at_any_write_leaves_the_old_state(saved, tmp_path, monkeypatch, error):
    smaller = TextImageSearch.load(saved).remove(["photo 1 ñ"])
    for n_writes in itertools.count():
        folder = shutil.copytree(saved, tmp_path / str(n_writes))
        with monkeypatch.context() as patch:
            crash_at_write(patch, n_writes, error)
            try:
                smaller.save(folder)
            except type(error):
                assert len(TextImageSearch.load(folder)) == 50
                assert not list(folder.glob("*.part"))
            else:
                break
        smaller.save(folder)
        assert len(TextImageSearch.load(folder)) == 49
    assert n_writes == 2  # which slots are empty, and the manifest
    assert len(TextImageSearch.load(folder)) == 49


def test_a_crash_before_anything_was_saved_does_not_stand_in_the_way(search, tmp_path, monkeypatch):
    for n_writes in range(4):
        with monkeypatch.context() as patch, pytest.raises(OSError, match="no space left"):
            crash_at_write(patch, n_writes, OSError("no space left on device"))
            search.save(tmp_path / "model")
        with pytest.raises(SavedFileError, match=r"holds no manifest\.json: nothing was saved there"):
            load(tmp_path / "model")
    search.save(tmp_path / "model")
    assert_same(load(tmp_path / "model"), search)


def test_what_a_killed_process_leaves_is_cleared_away_by_the_next(search, saved):
    digest = next(iter(manifest_of(saved)["arrays"]))
    left = ["0" * 64 + ".npy", f"{digest}.npy.0123abcd.part", "manifest.json.0123abcd.part"]
    for name in left:
        (saved / name).write_bytes(b"half")
    assert_same(load(saved), search)
    search.save(saved)
    assert not any((saved / name).exists() for name in left)
    assert_same(load(saved), search)


def crash_at_write(patch, n_writes, error):
    """Let the first `n_writes` files come to their place, and no other."""
    replace, done = os.replace, itertools.count()

    def replace_or_crash(source, target):
        if next(done) == n_writes:
            raise error
        replace(source, target)

    patch.setattr(os, "replace", replace_or_crash)


@pytest.mark.parametrize(
    ("estimator", "part"),
    [
        (ImageFeaturizer(mean_colour), r"estimator\.backbone is a function"),
        (
            TextImageSearch(FeatureUnion([("a", ImageFeaturizer()), ("b", ImageFeaturizer(mean_colour))])),
            r"estimator\.featurizer\.transformer_list\[1\]\[1\]\.backbone is a function",
        ),
        (
            make_pipeline(SentenceVectorizer(mean_colour), TextToVisualRegressor()),
            r"estimator\.steps\[0\]\[1\]\.encoder is a function",
        ),
        (
            TextToVisualRegressor(random_state=np.random.RandomState(0)),
            r"estimator\.random_state is a RandomState",
        ),
        (
            ImageIndex().fit(X[:1], ids=[Fraction(1, 2)]),
            r"estimator\.catalogue_\['ids_'\]\[0\] is a Fraction",
        ),
        (make_pipeline(CaptionVectorizer(), "passthrough", io), r"estimator\.steps\[2\]\[1\] is a module"),
    ],
)
def test_what_cannot_be_saved_is_named_and_nothing_is_written(estimator, part, tmp_path):
    with pytest.raises(TypeError, match=f"{part}, which cannot be saved: only estimators of txt2img"):
        save(estimator, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("name", ["thesis.tex", "manifest.json", "weights.npy"])
def test_folder_with_files_of_others_is_refused(search, tmp_path, name):
    (tmp_path / name).write_text('{"name": "another program"}')
    with pytest.raises(FileExistsError, match=f"holds '{name}' but no saved estimator: pass a new or empty"):
        search.save(tmp_path)
    assert (tmp_path / name).read_text() == '{"name": "another program"}'


def test_nothing_there_and_another_class(tmp_path):
    with pytest.raises(SavedFileError, match=r"gone' holds no manifest\.json: nothing was saved there"):
        TextImageSearch.load(tmp_path / "gone")
    save(ImageIndex().fit([[1.0]]), tmp_path / "index")
    with pytest.raises(SavedFileError, match="holds a ImageIndex, not a TextImageSearch"):
        TextImageSearch.load(tmp_path / "index")


def test_damaged_and_missing_arrays(saved):
    file = sorted(saved.glob("*.npy"))[0]
    content = file.read_bytes()
    for damaged in (content[:-1] + bytes([content[-1] ^ 1]), content[:-1], b""):
        file.write_bytes(damaged)
        with pytest.raises(SavedFileError, match=rf"{file.name} is damaged: its SHA-256 sum is not what"):
            load(saved)
    file.unlink()
    with pytest.raises(SavedFileError, match=rf"{file.name} is missing"):
        load(saved)


def test_pickles_in_disguise_are_refused_and_run_no_code(saved, tmp_path):
    canary = tmp_path / "canary"

    class Attack:
        def __reduce__(self):
            return canary.touch, ()

    objects = np.array([Attack()], dtype=object)
    archive = io.BytesIO()
    np.savez(archive, objects)
    for content in (npy(objects, allow_pickle=True), pickle.dumps(Attack()), archive.getvalue()):
        plant_array(saved, content)
        with pytest.raises(SavedFileError, match="is not an array of numbers"):
            load(saved)
    assert not canary.exists()
    pickle.loads(pickle.dumps(Attack()))  # the attack itself works
    assert canary.exists()


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY", npy(X)[:-8], b"\x93NUMPY\x01\x00\xff\xff{" + b" " * 99]
)
def test_arrays_that_are_none_are_refused_though_their_sum_is_right(saved, content):
    plant_array(saved, content)
    with pytest.raises(SavedFileError, match="is not an array of numbers"):
        load(saved)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "x", "A" * 64, "a" * 64 + "\n", 5, None, ["a"]])
def test_array_names_that_lead_elsewhere_are_refused(saved, tmp_path, name):
    (tmp_path / "x.npy").write_bytes(npy(X))
    manifest = manifest_of(saved)
    if isinstance(name, str):
        manifest["arrays"][name] = {"dtype": "float64", "shape": [30, 6]}
    manifest["estimator"]["fitted"]["bank_"] = {"array": name}
    write_manifest(saved, manifest)
    with pytest.raises(SavedFileError, match="is damaged: it does not list the array"):
        load(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format="other"), "is not a manifest of txt2img"),
        (lambda m: m.update(format_version=2), r"format version 2 and this txt2img reads 1: load it with"),
        (lambda m: m.update(format_version="1"), "format version '1' and this txt2img reads 1"),
        (lambda m: m.pop("format_version"), "format version None and this txt2img reads 1"),
        (lambda m: m.pop("estimator"), "is damaged"),
        (lambda m: m.pop("arrays"), "is damaged"),
        (lambda m: m["estimator"].update({"class": "Popen"}), "class 'Popen', which is not allowed"),
        (lambda m: m["estimator"].update({"class": "PCA"}), "class 'PCA', which is not allowed"),
        (lambda m: m["estimator"].update({"class": ["Popen"]}), "is damaged"),
        (lambda m: m["estimator"]["fitted"].update(fit=1), "sets the attribute 'fit', which is not allowed"),
        (lambda m: m["estimator"]["fitted"].update(__class__=1), "sets the attribute '__class__', which"),
        (lambda m: m["estimator"]["fitted"].update(bank_={"code": "x"}), "unknown kind 'code'"),
        (lambda m: m["estimator"]["fitted"].update(bank_={"dtype": "object"}), "is damaged"),
        (lambda m: m["estimator"]["parameters"].update(nonsense=1), "is damaged"),
    ],
)
def test_hostile_and_damaged_manifests_are_refused(saved, change, message):
    manifest = manifest_of(saved)
    change(manifest)
    write_manifest(saved, manifest)
    with pytest.raises(SavedFileError, match=message):
        load(saved)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b"null", b'{"name": "x"}', b"[" * 100_000]
)
def test_manifests_that_are_no_manifest_are_refused(saved, content):
    (saved / "manifest.json").write_bytes(content)
    with pytest.raises(SavedFileError, match=r"manifest\.json is (damaged|not a manifest of txt2img)"):
        load(saved)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_manifest_changed_anywhere_is_loaded_or_refused(tmp_path, data):
    save(make_pipeline(fitted("words"), fitted("ridge"), fitted("corrected")), tmp_path)
    original = (tmp_path / "manifest.json").read_bytes()
    place = manifest = json.loads(original)
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not (isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans())):
            break
        place = place[key]
    place[key] = data.draw(json_values)
    write_manifest(tmp_path, manifest)
    try:
        load(tmp_path)
    except SavedFileError:
        pass
    finally:
        (tmp_path / "manifest.json").write_bytes(original)
