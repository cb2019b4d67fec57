import numpy as np
import pytest
from conftest import mean_colour
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import FeatureUnion

from txt2img import (
    CaptionVectorizer,
    DescriptorWhitener,
    ImageFeaturizer,
    TextImageSearch,
    TextToVisualRegressor,
)
from txt2img.datasets import load_sample_photographs, make_captioned_scenes
from txt2img.exceptions import UnknownBackboneError, UnknownWordsWarning, UnreadablePhotographError


@pytest.fixture(scope="module")
def fitted(captioned):
    captions, descriptors = captioned
    return TextImageSearch().fit(descriptors[:250], captions[:250])


@pytest.fixture
def by_colour():
    """Return a search whose descriptors are mean colours, without whitening."""
    return TextImageSearch(
        ImageFeaturizer(mean_colour, normalize=False),
        whitener=DescriptorWhitener(exponent=0),
        vectorizer=CaptionVectorizer(min_df=1),
        regressor=TextToVisualRegressor(alpha=0.01),
    )


COLOURS = ["red", "lime", "blue", "yellow", "black", "white"]


def test_far_better_than_chance_and_than_the_recipe(captioned, fitted):
    captions, descriptors = captioned
    recipe = TextImageSearch.from_preset(
        "recipe", regressor=TextToVisualRegressor(solver="network", hidden=64, random_state=0)
    ).fit(descriptors[:250], captions[:250])
    ours = fitted.evaluate(descriptors[250:], captions[250:])
    theirs = recipe.evaluate(descriptors[250:], captions[250:])
    assert ours.recall_at(5) > 3 * ours.chance["R@5"]
    assert ours.recall_at(5) > theirs.recall_at(5)


def test_evaluation_is_what_queries_give(captioned, fitted):
    captions, descriptors = captioned
    search = TextImageSearch().fit(descriptors[:250], captions[:250]).add(descriptors[250:])
    report = search.evaluate(descriptors[250:], captions[250:])
    asked = [(own, i) for i, all_own in enumerate(captions[250:]) for own in all_own]
    answers = search.query([sentence for sentence, _ in asked], k=1)
    assert np.mean([hits[0].id == right for hits, (_, right) in zip(answers, asked)]) == report.recall_at(1)


def test_every_hit_is_the_photograph_whose_descriptor_it_is(captioned):
    captions, descriptors = captioned
    search = TextImageSearch().fit(descriptors[:250], captions[:250])
    names = [f"photo{i}" for i in range(50)]
    search.add(descriptors[250:], ids=names).remove(names[:10])
    Q, _, _ = search.index_.score_factors(search.predict(["topic"] + captions[260]))
    whitened = search.transform(descriptors[250:])
    whitened /= np.linalg.norm(whitened, axis=1, keepdims=True)
    for query, hits in zip(Q, search.query(["topic"] + captions[260], k=40)):
        for hit in hits:
            row = names.index(hit.id)
            bias = search.index_.bias_[search.index_.ids_.tolist().index(hit.id)]
            assert hit.score == pytest.approx(whitened[row] @ query + bias, abs=1e-5)
        assert [hit.rank for hit in hits] == list(range(1, 41))


def test_photographs_as_files_end_to_end(by_colour, photograph_files):
    by_colour.fit(photograph_files, [[f"a {colour} wall", f"wall in {colour}"] for colour in COLOURS])
    by_colour.add(photograph_files)
    for colour, path in zip(COLOURS, photograph_files):
        assert by_colour.query(f"{colour}", k=1)[0].id == path


def test_folder_as_gallery_and_one_string_as_captions(by_colour, photograph_files, tmp_path):
    by_colour.fit(photograph_files, [f"{colour} wall" for colour in COLOURS]).add(tmp_path)
    assert len(by_colour) == 6
    assert by_colour.query("blue", k=1)[0].id == photograph_files[2]


def test_unreadable_photographs_leave_with_their_own_captions(by_colour, photograph_files, tmp_path):
    (tmp_path / "1b.png").write_bytes(b"bad")
    photos = [*photograph_files[:2], str(tmp_path / "1b.png"), *photograph_files[2:]]
    captions = [*COLOURS[:2], "broken", *COLOURS[2:]]
    by_colour.set_params(featurizer__on_error="warn")
    with pytest.warns(UserWarning, match=r"1b\.png"):
        by_colour.fit(photos, captions)
    with pytest.warns(UserWarning, match="left out of the index|cannot be read"):
        by_colour.add(photos)
    assert "broken" not in by_colour.vectorizer_.vocabulary_
    assert len(by_colour) == 6
    for colour, path in zip(COLOURS, photograph_files):
        assert by_colour.query(colour, k=1)[0].id == path


def test_photographs_without_captions_help_the_whitener_only(captioned):
    captions, descriptors = captioned
    search = TextImageSearch().fit(descriptors, [*captions[:100], *[[]] * 200])
    assert search.whitener_.n_samples_seen_ == 300
    alone = CaptionVectorizer().fit(
        [own for all_own in captions[:100] for own in all_own], groups=np.repeat(np.arange(100), 5)
    )
    assert search.vectorizer_.vocabulary_ == alone.vocabulary_


def test_two_backbones_side_by_side():
    scenes, captions = make_captioned_scenes(30, random_state=0)
    both = FeatureUnion([("a", ImageFeaturizer(mean_colour)), ("b", ImageFeaturizer("efficientnet_lite0"))])
    search = TextImageSearch(both).fit(scenes, captions).add(scenes, ids=range(30))
    assert search.transform(scenes).shape[0] == 30
    assert len(search.query("a red circle", k=3)) == 3


def test_class_names_find_the_sample_photographs_in_both_languages():
    samples = load_sample_photographs()
    search = TextImageSearch.from_class_names().add(samples.photos)
    for query in ("un gato", "a cat"):
        assert search.query(query, k=1)[0].id.endswith("chelsea.png")
    for language in ("en", "es"):
        asked = load_sample_photographs(language)
        assert search.evaluate(asked.photos, asked.captions, ks=(1,)).recall_at(1) >= 0.65


def test_unknown_words_are_named_and_still_answered(captioned, fitted):
    _, descriptors = captioned
    search = fitted.fit(descriptors[:250], captioned[0][:250]).add(descriptors[250:])
    with pytest.warns(UnknownWordsWarning, match="'zzyzx'"):
        assert len(search.query("zzyzx", k=3)) == 3


def test_refitting_empties_the_gallery_and_a_failed_fit_changes_nothing(captioned):
    captions, descriptors = captioned
    search = TextImageSearch().fit(descriptors[:250], captions[:250]).add(descriptors[250:])
    before = search.query(captions[0][0])
    with pytest.raises(ValueError, match="captions is empty"):
        search.fit(descriptors, [[]] * 300)
    assert search.query(captions[0][0]) == before
    assert len(search.fit(descriptors, captions)) == 0


@pytest.mark.parametrize(
    ("photos", "captions", "message"),
    [
        (np.ones((2, 3)), [[], []], "captions is empty: pass at least one sentence"),
        (np.ones((2, 3)), [["a"]], "captions has 1 entries but there are 2 photographs: pass one list"),
        (np.ones((2, 3)), "a cat", "captions is one string"),
        (
            np.array([[1.0, np.nan], [0, 1]]),
            ["a", "b"],
            "NaN or infinity in 1 rows, the first of them row 0: leave",
        ),
        (np.ones((2, 3)), ["a", 5], r"captions?"),
    ],
)
def test_bad_training_data(photos, captions, message):
    with pytest.raises((ValueError, TypeError), match=message):
        TextImageSearch().fit(photos, captions)


def test_bad_parts_and_photographs(photograph_files, tmp_path, by_colour):
    with pytest.raises(UnknownBackboneError, match="resnet9000"):
        TextImageSearch(ImageFeaturizer("resnet9000")).fit(photograph_files, COLOURS)
    with pytest.raises(ValueError, match="name='worst' is not a preset"):
        TextImageSearch.from_preset("worst")
    by_colour.fit(photograph_files, COLOURS).add(photograph_files)
    (tmp_path / "bad.png").write_bytes(b"bad")
    with pytest.raises(UnreadablePhotographError, match=r"bad\.png"):
        by_colour.add([str(tmp_path / "bad.png")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no photograph"):
        by_colour.add(tmp_path / "empty")
    with pytest.raises(ValueError, match="already"):
        by_colour.add(photograph_files[:1])
    with pytest.raises(KeyError, match="not in the index"):
        by_colour.remove(["gone.png"])
    with pytest.raises(ValueError, match="k=7 is larger than the gallery of 6"):
        by_colour.query("red", k=7)
    assert len(by_colour) == 6


def test_order_of_calls(captioned, photograph_files):
    captions, descriptors = captioned
    for call in (lambda s: s.query("a"), lambda s: s.add(descriptors), lambda s: s.save("x")):
        with pytest.raises(NotFittedError):
            call(TextImageSearch())
    search = TextImageSearch().fit(descriptors[:250], captions[:250])
    with pytest.raises(ValueError, match="the gallery is empty: add photographs"):
        search.query("a")
    with pytest.raises(ValueError, match="fitted on descriptors: pass descriptors"):
        search.add(photograph_files)
    with pytest.raises(ValueError, match="7 features"):
        search.add(np.ones((2, 7)))
