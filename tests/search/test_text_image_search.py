import copy
import pickle
import shutil
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from conftest import mean_colour
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.base import clone
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import normalize

from txt2img import (
    CaptionVectorizer,
    DescriptorWhitener,
    ImageFeaturizer,
    ImageIndex,
    RetrievalEvaluator,
    SentenceVectorizer,
    TextImageSearch,
    TextToVisualRegressor,
)
from txt2img.datasets import load_sample_photographs, make_captioned_descriptors
from txt2img.exceptions import UnknownWordsWarning
from txt2img.search import Query, text_image_search

# Where the subject of a test is another than the map and how sure it is.
RIDGE_ALONE = {"regressor": TextToVisualRegressor(), "calibration_share": None}


def small_network():
    return TextToVisualRegressor("network", hidden=512, random_state=0)


def corner_colours(images):
    """Describe pictures by the mean colour of each quarter: a backbone whose answers are known."""
    quarters = [image.resize((2, 2)) for image in images]
    return np.stack([np.asarray(image, np.float32).ravel() for image in quarters])


@pytest.fixture(scope="module")
def fitted(captioned):
    """Fitted on 250 photographs, the other 50 in the gallery under their numbers."""
    captions, descriptors = captioned
    return (
        TextImageSearch().fit(descriptors[:250], captions[:250]).add(descriptors[250:], ids=range(250, 300))
    )


@pytest.fixture
def search(fitted):
    return copy.deepcopy(fitted)


def state(search):
    return pickle.dumps({name: value for name, value in vars(search).items() if name.endswith("_")})


def assert_aligned(search, source_of_id):
    """Every hit's id is the photograph whose own descriptor it is."""
    ids = search.index_.ids_.tolist()
    sources = [source_of_id(id) for id in ids]
    own = search.transform(np.stack(sources) if isinstance(sources[0], np.ndarray) else sources)
    assert_allclose(search.index_.descriptors_, normalize(own), atol=1e-5)
    found = search.index_.search(own, k=1, correction=0)[1]
    assert [hits[0] for hits in found.tolist()] == ids


@pytest.mark.filterwarnings("ignore::txt2img.exceptions.UnknownWordsWarning")
def test_unseen_photographs_are_found_by_their_captions(captioned):
    captions, descriptors = captioned
    figures = {}
    for preset, parts in {"default": {}, "recipe": {"regressor": small_network()}}.items():
        search = TextImageSearch.from_preset(preset, **parts).fit(descriptors[:250], captions[:250])
        report = search.evaluate(descriptors[250:], captions[250:])
        assert (report.n_queries, report.n_gallery) == (250, 50)
        figures[preset] = report
    default, recipe = figures["default"], figures["recipe"]
    assert default.recall_interval(5)[0] > 3 * default.chance["R@5"]
    assert recipe.recall_interval(5)[0] > 2 * recipe.chance["R@5"]
    assert default.mrr > recipe.mrr
    assert default.recall_at(5) > recipe.recall_at(5)
    assert default.mean_rank < recipe.mean_rank


def test_every_hit_is_the_photograph_whose_descriptor_it_is(search, captioned):
    _, descriptors = captioned
    assert_aligned(search, lambda id: descriptors[id])
    search.remove([250, 271, 299]).add(descriptors[[271, 3]], ids=[271, 3])
    assert_aligned(search, lambda id: descriptors[id])
    assert len(search) == 49


def test_hits_are_the_scores_of_the_index_in_order(search, captioned):
    sentence = captioned[0][270][0]
    hits = search.query(sentence, k=50)
    predicted = search.regressor_.predict(search.vectorizer_.transform([sentence]))
    scores, ids = search.index_.search(predicted, k=50)
    assert [hit.id for hit in hits] == ids[0].tolist()
    assert [hit.score for hit in hits] == scores[0].tolist()
    assert [hit.rank for hit in hits] == list(range(1, 51))


@pytest.mark.filterwarnings("ignore::txt2img.exceptions.UnknownWordsWarning")
def test_evaluation_is_what_queries_give(search, captioned):
    captions, descriptors = captioned[0][250:], captioned[1][250:]
    sentences = [sentence for own in captions for sentence in own]
    rank_of = [{hit.id: hit.rank for hit in hits} for hits in search.query(sentences, k=50)]
    ranks = [ranks[250 + i // 5] for i, ranks in enumerate(rank_of)]
    assert_allclose(search.evaluate(descriptors, captions).ranks, ranks, atol=0.5)  # ties by their mean


def test_several_sentences_are_answered_as_each_alone(search, captioned):
    sentences = [own[0] for own in captioned[0][250:255]]
    for sentence, hits in zip(sentences, search.query(sentences, k=3)):
        alone = search.query(sentence, k=3)
        assert [hit.id for hit in hits] == [hit.id for hit in alone]
        assert_allclose([hit.score for hit in hits], [hit.score for hit in alone], atol=1e-5)
    assert search.query(np.array(sentences), k=3) == search.query(tuple(sentences), k=3)


def test_evaluation_is_that_of_the_parts_and_leaves_the_gallery_alone(search, captioned):
    captions, descriptors = captioned
    before = state(search)
    report = search.evaluate(descriptors[:40], captions[:40], ks=(1, 3))
    assert state(search) == before
    index = clone(search.index_).fit(search.transform(descriptors[:40]), bank=search.bank_)
    sentences = [sentence for own in captions[:40] for sentence in own]
    by_hand = RetrievalEvaluator(ks=(1, 3)).evaluate(
        search.predict(sentences), index, np.repeat(range(40), 5)
    )
    assert_array_equal(report.ranks, by_hand.ranks)
    assert report.ks == (1, 3)


def test_evaluation_with_photographs_that_nobody_captioned_in_the_gallery(search, captioned):
    captions, descriptors = captioned
    report = search.evaluate(descriptors[250:], [*captions[250:260], *[[]] * 40])
    assert (report.n_queries, report.n_gallery) == (50, 50)
    whole = search.evaluate(descriptors[250:], captions[250:])
    assert_array_equal(report.ranks, whole.ranks[:50])


def test_evaluation_tells_texts_known_words_and_what_came_instead(search, captioned):
    captions, descriptors = captioned
    own = [[own[0], f"{own[1]} zzz", "zzz", "?!"] for own in captions[250:]]
    kinds = ["known", "half", "unknown", "no words"]
    with pytest.warns(UnknownWordsWarning):
        report = search.evaluate(descriptors[250:], own, columns={"kind": kinds * 50})
    assert report.columns["text"] == [sentence for sentences in own for sentence in sentences]
    known = report.slices("kind")
    assert known["kind"] == kinds
    assert known["mean_rank"][0] < known["mean_rank"][2]
    shares = np.array(report.columns["known_words"]).reshape(50, 4)
    assert (shares[:, 2:] == 0).all()
    assert (shares[:, 1] < 1).all()
    assert shares[:, 0].mean() > shares[:, 1].mean() > 0
    worst = report.worst(5)
    assert worst["rank"][0] == report.ranks.max()
    assert worst["hit_1"][0] != worst["true_id"][0]


@pytest.mark.filterwarnings("ignore::txt2img.exceptions.UnknownWordsWarning")
def test_evaluation_in_folds_and_of_photographs_that_ask(search, captioned):
    captions, descriptors = captioned
    folds = search.evaluate(descriptors[250:], captions[250:], n_folds=5)
    assert (folds.n_gallery, folds.n_queries, folds.confidence) == (10, 250, None)
    assert folds.chance["R@1"] == 1 / 10
    asked = search.evaluate(descriptors[250:], captions[250:], direction="photograph_to_text")
    assert (asked.n_gallery, asked.n_queries) == (250, 50)
    assert asked.recall_at(5) > 3 * asked.chance["R@5"]
    assert asked.hit_ids[0, 0] in [sentence for own in captions[250:] for sentence in own]
    with pytest.raises(ValueError, match="columns or confidence"):
        search.evaluate(
            descriptors[250:], captions[250:], direction="photograph_to_text", columns={"a": range(250)}
        )


@pytest.mark.filterwarnings("ignore::txt2img.exceptions.UnknownWordsWarning")
def test_what_says_nothing_is_answered_by_chance(search, captioned):
    captions, _ = captioned
    sentence, ids = captions[250][0], search.index_.ids_
    nothing, both, half, twice = search.query(
        ["zzz", sentence, f"{sentence} zzz", Query("zzz") + Query("qqq")], k=3
    )
    for hits in (nothing, twice, search.query("zzz", k=3)):
        assert [hit.probability for hit in hits] == pytest.approx([1 / 50] * 3)
    alone = search.query(sentence, k=3)
    assert [hit.id for hit in both] == [hit.id for hit in half] == [hit.id for hit in alone]
    assert both[0].probability == pytest.approx(alone[0].probability)
    assert half[0].probability == pytest.approx(both[0].probability) != pytest.approx(1 / 50, rel=0.1)
    assert [hit.probability for hit in search.query("zzz", k=2, where=ids[:4])] == pytest.approx([1 / 4] * 2)


def test_evaluation_names_photographs_by_their_paths(scene_files):
    paths, captions = scene_files
    search = TextImageSearch(
        featurizer=ImageFeaturizer(mean_colour), regressor=TextToVisualRegressor(), calibration_share=None
    )
    search.fit(paths[:40], captions[:40])
    report = search.evaluate(paths[40:], captions[40:])
    assert report.true_ids == [path for path in paths[40:] for _ in range(5)]
    assert set(report.hit_ids.ravel()) <= set(paths[40:])
    twice = search.evaluate([paths[40], paths[40], paths[41]], [captions[40], [], captions[41]], ks=(1,))
    assert set(twice.true_ids) == {0, 2}


def test_default_preset_is_the_search_without_arguments(captioned):
    captions, descriptors = captioned
    plain, preset = (
        each.fit(descriptors[:100], captions[:100]).add(descriptors[100:])
        for each in (TextImageSearch(), TextImageSearch.from_preset("default"))
    )
    assert plain.query(captions[0][0]) == preset.query(captions[0][0])


def test_recipe_is_the_starting_recipe(captioned):
    recipe = TextImageSearch.from_preset("recipe")
    assert recipe.featurizer.backbone == "resnet152"
    assert recipe.featurizer.normalize
    assert (recipe.vectorizer.min_df, recipe.vectorizer.max_df) == (2, 0.1)
    network = recipe.regressor.get_params()
    assert (network["solver"], network["hidden"], network["epochs"]) == ("network", 2048, 10)
    assert recipe.index.metric == "euclidean"
    captions, descriptors = captioned
    recipe.set_params(regressor__hidden=8, regressor__epochs=1).fit(descriptors, captions)
    assert recipe.vectorizer_.n_photographs_ == 300
    assert recipe.whitener_ is None
    assert_array_equal(recipe.add(descriptors).index_.descriptors_, descriptors)


def test_best_preset_puts_the_sentence_beside_its_words(captioned):
    captions, descriptors = captioned
    search = TextImageSearch.from_preset("best", calibration_share=None)
    search.fit(descriptors[:60], captions[:60])
    vectorizers = search.vectorizer_.named_transformers
    assert isinstance(vectorizers["meaning"], SentenceVectorizer)
    assert search.regressor_.n_features_in_ == len(vectorizers["words"].vocabulary_) + 512
    assert search.evaluate(descriptors[:60], captions[:60]).recall_at(1) > 0.5


def reversed_words(sentence):
    """Translate into a second invented language."""
    return " ".join(word[::-1] for word in sentence.split())


def two_languages(sentences):
    """A sentence encoder that has the same vector for a word and its translation."""
    vectors = np.zeros((len(sentences), 64))
    for vector, sentence in zip(vectors, sentences):
        for word in sentence.split():
            seed = crc32(min(word, word[::-1]).encode())
            vector += np.random.default_rng(seed).normal(size=64)
    return vectors


def test_cross_language_preset_is_asked_in_a_language_without_captions():
    captions, descriptors = make_captioned_descriptors(400, n_topics=10, random_state=0)
    translated = [[reversed_words(sentence) for sentence in own] for own in captions[350:]]
    spoken = {word for own in captions for sentence in own for word in sentence.split()}
    assert spoken.isdisjoint(word for own in translated for sentence in own for word in sentence.split())
    search = TextImageSearch.from_preset("cross_language", calibration_share=None)
    search.set_params(vectorizer__encoder=two_languages).fit(descriptors[:350], captions[:350])
    report = search.evaluate(descriptors[350:], translated)
    assert report.recall_interval(5)[0] > 2 * report.chance["R@5"]
    assert_allclose(report.ranks, search.evaluate(descriptors[350:], captions[350:]).ranks)


@pytest.mark.parametrize("preset", ["default", "best", "cross_language", "recipe", "class_names"])
def test_parts_of_a_preset_can_be_replaced_and_set(preset):
    search = TextImageSearch.from_preset(preset, featurizer=ImageFeaturizer("resnet18"), bank_size=7)
    assert search.bank_size == 7
    copy = clone(search).set_params(featurizer__backbone="resnet50", index__metric="inner_product")
    assert (search.featurizer.backbone, copy.featurizer.backbone) == ("resnet18", "resnet50")
    assert copy.index.metric == "inner_product"
    assert not hasattr(copy, "regressor_")


def test_unknown_preset_lists_the_known():
    with pytest.raises(ValueError, match="name='fast' is not a preset: choose one of 'default', 'recipe'"):
        TextImageSearch.from_preset("fast")


def test_captions_as_strings_and_in_any_container(captioned):
    captions, descriptors = captioned
    first = [own[0] for own in captions]
    expected = TextImageSearch(**RIDGE_ALONE).fit(descriptors, [[sentence] for sentence in first])
    for captions in (first, tuple(first), np.array(first), [(sentence,) for sentence in first], iter(first)):
        own = captions if hasattr(captions, "__len__") else list(captions)
        assert_array_equal(TextImageSearch(**RIDGE_ALONE).fit(descriptors, own).bank_, expected.bank_)


def test_photographs_without_captions_help_to_fit_the_whitener_only(captioned):
    captions, descriptors = captioned
    some = [own if i % 3 else [] for i, own in enumerate(captions)]
    search = TextImageSearch().fit(descriptors, some)
    whitener = DescriptorWhitener().fit(descriptors)
    assert_array_equal(search.whitener_.components_, whitener.components_)
    sentences = [sentence for own in some for sentence in own]
    targets = np.repeat(whitener.transform(descriptors), [len(own) for own in some], axis=0)
    default = TextImageSearch.from_preset("default")
    text = make_pipeline(clone(default.vectorizer), clone(default.regressor)).fit(sentences, targets)
    assert search.vectorizer_.n_photographs_ == 200
    assert_array_equal(search.predict(sentences), text.predict(sentences))


def test_bank_are_captions_evenly_spread(captioned):
    captions, descriptors = captioned
    search = TextImageSearch(bank_size=4, **RIDGE_ALONE).fit(descriptors, captions)
    spread = [captions[photograph][caption] for photograph, caption in ((0, 0), (99, 4), (199, 4), (299, 4))]
    assert_allclose(search.bank_, search.predict(spread), atol=1e-5)
    assert len(TextImageSearch(**RIDGE_ALONE).fit(descriptors, captions).bank_) == 1500


def test_index_without_hubness_correction_and_other_parts(captioned):
    captions, descriptors = captioned
    search = TextImageSearch(
        whitener="passthrough",
        vectorizer=CaptionVectorizer(ngram_range=(1, 2)),
        regressor=TextToVisualRegressor(alpha=1.0),
        index=ImageIndex("inner_product"),
    )
    search.fit(descriptors[:250], captions[:250]).add(descriptors[250:])
    assert search.whitener_ is None
    assert search.index_.bias_ is None
    assert search.evaluate(descriptors[:250], captions[:250]).recall_at(5) > 0.8


class TestPhotographsAsFiles:
    def test_names_of_colours_find_them(self, photograph_files):
        colours = ["red", "lime", "blue", "yellow", "black", "white"]
        search = TextImageSearch(
            ImageFeaturizer(mean_colour, normalize=False),
            whitener=DescriptorWhitener(exponent=0),
            vectorizer=CaptionVectorizer(min_df=1),
            regressor=TextToVisualRegressor(alpha=0.01),
        )
        search.fit(photograph_files, [f"{colour} wall" for colour in colours]).add(photograph_files)
        assert [hits[0].id for hits in search.query(colours, k=1)] == photograph_files
        pictures = [Image.new("RGB", (20, 30), colour) for colour in colours]
        search.remove(photograph_files).add(pictures, ids=colours)
        assert [hits[0].id for hits in search.query(colours, k=1)] == colours

    @pytest.mark.parametrize(
        "featurizer",
        [
            ImageFeaturizer(corner_colours),
            FeatureUnion(
                [("all", ImageFeaturizer(mean_colour)), ("quarters", ImageFeaturizer(corner_colours))]
            ),
            make_pipeline(ImageFeaturizer(corner_colours), DescriptorWhitener(n_components=5)),
        ],
        ids=["callable", "two side by side", "pipeline"],
    )
    def test_learn_search_and_stay_aligned(self, scene_files, featurizer):
        paths, captions = scene_files
        search = TextImageSearch(featurizer, vectorizer=CaptionVectorizer(min_df=1)).fit(paths, captions)
        search.add(paths[40:])
        assert_aligned(search, lambda path: path)
        search.remove(paths[50:55]).add(paths[:3])
        assert_aligned(search, lambda path: path)
        report = search.evaluate(paths, captions)
        assert report.recall_at(10) > 2 * report.chance["R@10"]

    def test_network_as_backbone(self, scene_files):
        paths, captions = scene_files[0][:16], scene_files[1][:16]
        search = TextImageSearch(ImageFeaturizer("efficientnet_lite0")).fit(paths, captions).add(paths)
        assert_aligned(search, lambda path: path)
        first = [hits[0].id for hits in search.query([own[0] for own in captions], k=1)]
        assert np.mean([id == path for id, path in zip(first, paths)]) > 0.5

    def test_files_pictures_and_descriptors_give_the_same(self, scene_files):
        paths, captions = scene_files
        featurizer = ImageFeaturizer(corner_colours)
        by_files = TextImageSearch(featurizer).fit(paths, captions).add(paths)
        contents = [Path(path).read_bytes() for path in paths]
        by_bytes = TextImageSearch(featurizer).fit(contents, captions).add(contents)
        descriptors = featurizer.transform(paths)
        by_descriptors = TextImageSearch(featurizer).fit(descriptors, captions).add(descriptors)
        answers = by_files.query(captions[0], k=60)
        for other in (by_bytes, by_descriptors):
            named = [
                [hit._replace(id=paths[hit.id]) for hit in hits] for hits in other.query(captions[0], k=60)
            ]
            assert named == answers
        assert by_descriptors.remove([0]).add(paths[:1]).query(captions[0], k=60) is not None

    def test_folder_is_walked_and_its_paths_are_the_ids(self, scene_files, tmp_path):
        paths, captions = scene_files
        search = TextImageSearch(ImageFeaturizer(corner_colours)).fit(paths, captions)
        (tmp_path / "trip").mkdir()
        copies = [tmp_path / "trip" / "a.PNG", tmp_path / "b.png"]
        for path, to in zip(paths, copies):
            shutil.copy(path, to)
        (tmp_path / "notes.txt").write_text("no photograph")
        search.add(tmp_path)
        assert sorted(search.index_.ids_) == sorted(map(str, copies))
        assert_aligned(search, lambda path: path)

    def test_folder_to_learn_from(self, scene_files):
        paths, captions = scene_files
        by_folder = TextImageSearch(ImageFeaturizer(corner_colours)).fit(Path(paths[0]).parent, captions)
        by_list = TextImageSearch(ImageFeaturizer(corner_colours)).fit(paths, captions)
        assert_array_equal(by_folder.bank_, by_list.bank_)

    def test_paths_as_objects_are_known_by_their_strings(self, scene_files):
        paths, captions = scene_files
        search = TextImageSearch(ImageFeaturizer(corner_colours)).fit(list(map(Path, paths)), captions)
        assert search.add(list(map(Path, paths[:3]))).index_.ids_.tolist() == paths[:3]

    def test_unreadable_photographs_are_left_out_with_their_captions(self, scene_files, tmp_path):
        paths, captions = scene_files
        broken = tmp_path / "broken.jpg"
        broken.write_bytes(b"no photograph")
        with_broken = [str(broken), *paths[:30], str(broken), *paths[30:], str(broken)]
        more_captions = [["zzz"], *captions[:30], ["zzz", "yyy"], *captions[30:], ["yyy"]]
        featurizer = ImageFeaturizer(corner_colours, on_error="warn")
        expected = TextImageSearch(featurizer).fit(paths, captions).add(paths)
        search = TextImageSearch(featurizer)
        with pytest.warns(UserWarning, match="3 of 63 photographs cannot be read; their rows are NaN"):
            search.fit(with_broken, more_captions)
        for own, same in zip(search.regressor_.estimators_, expected.regressor_.estimators_, strict=True):
            assert_array_equal(own.coefs_[0], same.coefs_[0])
        assert_array_equal(search.bank_, expected.bank_)
        with (
            pytest.warns(UserWarning, match="1 of 61 photographs cannot be read"),
            pytest.warns(UserWarning, match="1 photographs without a descriptor are left out of the index"),
        ):
            search.add(with_broken[:31] + paths[30:])
        assert str(broken) not in search.index_.ids_
        assert_aligned(search, lambda path: path)
        assert search.query(captions[5], k=3) == expected.query(captions[5], k=3)
        with (
            pytest.warns(UserWarning),
            pytest.raises(
                ValueError, match=r"true_ids has 1 photographs that are not in the index: .*broken\.jpg"
            ),
        ):
            search.evaluate(with_broken[:5], more_captions[:5], ks=(1,))


class TestClassNames:
    def test_the_backbone_asked_for_reads_the_photographs(self, monkeypatch):
        monkeypatch.setattr(
            text_image_search, "class_descriptors", lambda backbone: (np.eye(9), ["a cat"] * 9)
        )
        monkeypatch.setattr(TextImageSearch, "fit", lambda self, *classes: self)
        search = TextImageSearch.from_class_names("efficientnet_lite0")
        assert search.featurizer.backbone == "efficientnet_lite0"

    def test_a_cat_in_spanish_is_the_cat(self, class_name_search):
        assert class_name_search.query("un gato", k=1)[0].id.endswith("chelsea.png")

    @pytest.mark.parametrize("language", ["en", "es"])
    def test_captions_written_for_the_photographs_find_them(self, class_name_search, language):
        samples = load_sample_photographs(language)
        sentences, photograph = samples.flat()
        first = [hits[0].id for hits in class_name_search.query(sentences, k=1)]
        assert np.mean([id == samples.photos[own] for id, own in zip(first, photograph)]) >= 0.6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"captions": [[]] * 20}, "captions is empty: pass at least one sentence"),
        ({"photos": [], "captions": []}, "captions is empty: pass at least one sentence"),
        ({"captions": []}, "captions has 0 entries but there are 20 photographs: pass one list of sentences"),
        ({"captions": [["a"]] * 19}, "captions has 19 entries but there are 20 photographs"),
        ({"captions": "a sentence"}, "captions is one string: pass one list of sentences a photograph"),
        ({"captions": [[None]] * 20}, r"captions\[0\] is a NoneType \(None\), not a string: leave it out"),
        ({"captions": [["un gato"], *[[]] * 19]}, "none of the 2 terms in captions is left with min_df=2"),
    ],
)
def test_bad_captions_are_named_and_leave_the_fitted_search_as_it_was(search, captioned, arguments, message):
    before = state(search)
    with pytest.raises(ValueError, match=message):
        search.fit(**{"photos": captioned[1][:20], "captions": captioned[0][:20], **arguments})
    assert state(search) == before


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("method", ["fit", "add", "transform", "evaluate"])
def test_broken_descriptors_are_named_and_leave_the_search_as_it_was(search, captioned, method, value):
    captions, descriptors = captioned[0][:20], captioned[1][:20].copy()
    descriptors[[3, 7], 5] = value
    arguments = (descriptors, captions) if method in ("fit", "evaluate") else (descriptors,)
    before = state(search)
    message = "photos holds descriptors with NaN or infinity in 2 rows, the first of them row 3: leave"
    with pytest.raises(ValueError, match=message):
        getattr(search, method)(*arguments)
    assert state(search) == before


def test_bad_bank_size_is_named(captioned):
    with pytest.raises(ValueError, match="bank_size=0 must be a whole number of at least 1"):
        TextImageSearch(bank_size=0).fit(captioned[1], captioned[0])


def test_a_part_that_fails_leaves_the_fitted_search_as_it_was(search, captioned):
    captions, descriptors = captioned
    before, answer = state(search), search.query(captions[0][0])
    for parameters in (
        {"regressor": TextToVisualRegressor(alpha=-1)},
        {"whitener": DescriptorWhitener(exponent=2)},
        {"vectorizer": CaptionVectorizer(min_df=10_000)},
    ):
        broken = search.set_params(**parameters)
        with pytest.raises(ValueError, match=r"alpha|exponent|min_df"):
            broken.fit(descriptors, captions)
        assert state(search) == before
        search.set_params(regressor=None, whitener=None, vectorizer=None)
    assert search.query(captions[0][0]) == answer


def test_fitting_again_empties_the_gallery(search, captioned):
    captions, descriptors = captioned
    assert len(search.fit(descriptors[:50], captions[:50])) == 0
    assert search  # an empty gallery does not make the search false


def test_unknown_backbone_names_the_nearest(scene_files):
    with pytest.raises(ValueError, match=r"backbone='resnet_152' is unknown. Did you mean 'resnet152'"):
        TextImageSearch(ImageFeaturizer("resnet_152")).fit(*scene_files)


def test_weights_that_cannot_be_had_name_the_extra(monkeypatch, scene_files):
    def unreachable(*arguments, **options):
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    with pytest.raises(
        RuntimeError, match=r"'resnet34' could not be had .* pip install \"txt2img\[offline\]\""
    ):
        TextImageSearch(ImageFeaturizer("resnet34")).fit(*scene_files)


@pytest.mark.parametrize("method", ["fit", "add", "evaluate"])
def test_unreadable_photograph_is_named_and_leaves_the_search_as_it_was(scene_files, tmp_path, method):
    paths, captions = scene_files
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photograph")
    search = TextImageSearch(ImageFeaturizer(corner_colours)).fit(paths, captions).add(paths[:5])
    photos = [*paths[5:9], str(broken)]
    arguments = (photos,) if method == "add" else (photos, captions[5:10])
    before = state(search)
    with pytest.raises(ValueError, match=r"photos\[4\] cannot be read: .*broken.jpg.*on_error=\"warn\""):
        getattr(search, method)(*arguments)
    assert state(search) == before


@pytest.mark.parametrize("method", ["fit", "add"])
def test_empty_folder_is_named(scene_files, tmp_path, method):
    search = TextImageSearch(ImageFeaturizer(corner_colours)).fit(*scene_files)
    arguments = (tmp_path,) if method == "add" else (tmp_path, [])
    with pytest.raises(ValueError, match=f"folder='{tmp_path}' holds no photograph: none of its files ends"):
        getattr(search, method)(*arguments)


def test_folder_that_does_not_exist(search):
    with pytest.raises(NotADirectoryError, match="folder='nowhere' is not a folder: pass one that holds"):
        search.add("nowhere")


def test_unknown_words_are_named_and_answered_all_the_same(search):
    with pytest.warns(UnknownWordsWarning, match="no term in the vocabulary.*'plaza', 'mayor': not seen"):
        hits = search.query("Plaza Mayor", k=7)
    assert len({hit.id for hit in hits}) == 7
    assert np.isfinite([hit.score for hit in hits]).all()


def test_near_duplicates_are_one_hit(search, captioned):
    sentence, twin = captioned[0][250][0], search.index_.descriptors_[0]
    search.index_.add([twin], ids=["twin"])
    alone = search.query(sentence, k=50, group_duplicates=0.9999)
    assert alone == search.query([sentence], k=50, group_duplicates=0.9999)[0]
    assert {hit.id: hit.duplicates for hit in alone if hit.duplicates} == {250: ("twin",)}


def test_k_larger_than_the_gallery(search, captioned):
    with pytest.raises(
        ValueError, match="k=51 is larger than the gallery of 50 photographs: ask for at most"
    ):
        search.query(captioned[0][0][0], k=51)


def test_empty_gallery(captioned):
    search = TextImageSearch(**RIDGE_ALONE).fit(captioned[1], captioned[0])
    for ask in (lambda: search.query("bada"), lambda: search.remove([1])):
        with pytest.raises(
            ValueError, match=r"the gallery is empty: add photographs with add\(photos\) first"
        ):
            ask()
    search.add(captioned[1][:2]).remove([0, 1])
    with pytest.raises(ValueError, match="the gallery is empty"):
        search.query("bada")


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("query", ["a cat"]),
        ("predict", [["a cat"]]),
        ("transform", [np.eye(3)]),
        ("add", [np.eye(3)]),
        ("remove", [[0]]),
        ("evaluate", [np.eye(3), ["a", "b", "c"]]),
        ("save", ["never_written"]),
    ],
)
def test_not_fitted(method, arguments, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    search = TextImageSearch()
    assert len(search) == 0
    with pytest.raises(ValueError, match=r"TextImageSearch instance is not fitted yet\. Call 'fit'"):
        getattr(search, method)(*arguments)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("whitener", [None, "passthrough"])
@pytest.mark.parametrize("method", ["add", "transform", "evaluate"])
def test_descriptors_of_another_width(captioned, whitener, method):
    captions, descriptors = captioned
    search = TextImageSearch(whitener=whitener, **RIDGE_ALONE).fit(descriptors, captions)
    arguments = (descriptors[:, :10], captions)[: 2 if method == "evaluate" else 1]
    message = "photos holds descriptors of 10 numbers but the search was fitted on descriptors of 64: pass"
    with pytest.raises(ValueError, match=message):
        getattr(search, method)(*arguments)


def test_photographs_for_a_search_fitted_on_descriptors(search, scene_files):
    with pytest.raises(ValueError, match="photos holds photographs but the search was fitted on descriptors"):
        search.add(scene_files[0])


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([250], ValueError, "ids holds 1 ids that are in the index already, such as 250: remove them"),
        ([1, 2], ValueError, "ids has 2 entries but there are 1 descriptors: pass one id a row"),
    ],
)
def test_failed_add_changes_nothing(search, captioned, ids, error, message):
    before = state(search)
    with pytest.raises(error, match=message):
        search.add(captioned[1][:1], ids=ids)
    assert state(search) == before


def test_failed_remove_changes_nothing(search):
    before = state(search)
    with pytest.raises(KeyError, match="ids holds 1 ids that are not in the index, such as 7"):
        search.remove([250, 7])
    assert state(search) == before


def test_failed_first_add_leaves_the_gallery_unmade(captioned):
    captions, descriptors = captioned
    search = TextImageSearch(**RIDGE_ALONE).fit(descriptors, captions)
    with pytest.raises(ValueError, match="more than once"):
        search.add(descriptors[:2], ids=["a", "a"])
    assert len(search.add(descriptors[:2], ids=["a", "b"])) == 2


def test_inputs_are_left_as_they_were(captioned):
    captions, descriptors = [list(own) for own in captioned[0]], captioned[1].copy()
    search = TextImageSearch().fit(descriptors, captions).add(descriptors)
    search.query(captions[0])
    search.evaluate(descriptors, captions)
    assert captions == captioned[0]
    assert_array_equal(descriptors, captioned[1])


def test_query_is_not_disturbed_by_later_changes_of_the_callers_array(captioned):
    captions, descriptors = captioned[0], captioned[1].copy()
    search = TextImageSearch.from_preset("recipe", regressor=TextToVisualRegressor()).fit(
        descriptors, captions
    )
    before = search.add(descriptors).query(captions[0][0])
    descriptors[:] = 0
    assert search.query(captions[0][0]) == before


def test_sentences_in_other_languages_by_a_sentence_encoder(class_name_search):
    """One map for all languages: the encoder puts the same meaning near to itself."""
    assert isinstance(class_name_search.vectorizer, SentenceVectorizer)
    for cat in ("a cat", "un gato", "un chat", "eine Katze"):
        assert class_name_search.query(cat, k=1)[0].id.endswith("chelsea.png")


def test_descriptors_as_a_list_of_rows_are_descriptors(captioned):
    captions, descriptors = captioned
    search = TextImageSearch(**RIDGE_ALONE)
    as_list = clone(search).fit(descriptors.tolist(), captions).add(list(descriptors[:20]))
    as_array = clone(search).fit(descriptors, captions).add(descriptors[:20])
    assert as_list.query(captions[0]) == as_array.query(captions[0])


def test_no_question_has_no_answer(captioned):
    captions, descriptors = captioned
    search = TextImageSearch(**RIDGE_ALONE).fit(descriptors, captions).add(descriptors)
    assert search.query([]) == []
