"""How sure answers are: what `fit` sets aside for it, and what hits and reports say."""

import copy

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax

from txt2img import TextImageSearch, TextToVisualRegressor
from txt2img.datasets import make_captioned_descriptors
from txt2img.evaluation import expected_calibration_error
from txt2img.search import ConfidenceCalibrator, Query, learning

pytestmark = pytest.mark.filterwarnings("ignore::txt2img.exceptions.UnknownWordsWarning")


@pytest.fixture(scope="module")
def search(captioned):
    """Return the default search, fitted on 250 photographs, with the other 50 in its gallery."""
    captions, descriptors = captioned
    return TextImageSearch().fit(descriptors[:250], captions[:250]).add(descriptors[250:])


@pytest.fixture
def sentences(captioned):
    return [own[0] for own in captioned[0][250:]]


class Remembering(TextToVisualRegressor):
    """Ridge that remembers the photographs of every fit."""

    learned = None

    def fit(self, X, y, groups):
        Remembering.learned.append(sorted(set(groups)))
        return super().fit(X, y, groups)


@pytest.fixture
def remembered(monkeypatch):
    """Return lists of the photographs that were learned from, and of those that were asked for."""
    asked = []

    class Spy(ConfidenceCalibrator):
        def fit(self, predicted, index, true_ids):
            assert set(index.ids_) == set(true_ids)
            asked.append(sorted(index.ids_))
            return super().fit(predicted, index, true_ids)

    monkeypatch.setattr(learning, "ConfidenceCalibrator", Spy)
    monkeypatch.setattr(Remembering, "learned", [])
    return Remembering.learned, asked


def fit_ridge(captioned, n=300, **parameters):
    captions, descriptors = captioned
    search = TextImageSearch(regressor=TextToVisualRegressor(), **parameters)
    return search.fit(descriptors[:n], captions[:n])


def probabilities(hits):
    return [hit.probability for hit in hits]


def test_hits_carry_probabilities_that_fall_and_sum_to_one_over_the_gallery(search, sentences):
    for hits in search.query(sentences, k=50):
        found = np.array(probabilities(hits))
        assert ((found > 0) & (found < 1)).all()
        assert (np.diff(found) <= 0).all()
        assert found[0] > found[-1]
        assert_allclose(found.sum(), 1, rtol=1e-5)
        expected = softmax(np.array([hit.score for hit in hits]) / search.calibrator_.temperature_)
        assert_allclose(found, expected, rtol=1e-3)


def test_fewer_hits_have_the_same_probabilities(search, sentences):
    for some, every in zip(search.query(sentences, k=3), search.query(sentences, k=50), strict=True):
        assert probabilities(some) == probabilities(every[:3])
        assert sum(probabilities(some)) < 1
    alone = search.query(sentences[0], k=3)
    assert all(type(each) is float for each in probabilities(alone))
    assert_allclose(probabilities(alone), probabilities(search.query(sentences, k=3)[0]), rtol=1e-4)


def test_calibration_does_not_change_the_answers(search, captioned, sentences):
    captions, descriptors = captioned
    plain = TextImageSearch(calibration_share=None).fit(descriptors[:250], captions[:250])
    plain.add(descriptors[250:])
    assert plain.calibrator_ is None
    expected = [[hit._replace(probability=None) for hit in hits] for hits in search.query(sentences, k=50)]
    assert plain.query(sentences, k=50) == expected


@pytest.mark.parametrize(
    ("share", "n_aside"),
    [(None, None), (0.06, None), (0.07, 21), (0.93, 279), (0.95, None)],
    ids=["switched off", "18 aside", "21 aside", "21 left", "15 left"],
)
def test_too_few_photographs_aside_or_left_give_no_probability(captioned, remembered, share, n_aside):
    _, asked = remembered
    search = fit_ridge(captioned, calibration_share=share).add(captioned[1][:30])
    assert [len(each) for each in asked] == ([] if n_aside is None else [n_aside])
    assert [each is None for each in probabilities(search.query(captioned[0][0][0]))] == [n_aside is None] * 5
    report = search.evaluate(captioned[1][:20], captioned[0][:20])
    assert (report.confidence is None) == (n_aside is None)
    assert (report.brier_score is None) == (report.calibration_error is None) == (n_aside is None)


def test_queries_with_a_photograph_have_no_probability_and_leave_the_others_theirs(
    search, captioned, sentences
):
    photograph = Query.photograph(captioned[1][0])
    mixed = [sentences[0], photograph, Query(sentences[1]) + photograph, Query(sentences[2]) - sentences[3]]
    answers = search.query(mixed, k=4)
    for hits in answers[1:3]:
        assert probabilities(hits) == [None] * 4
    for question, hits in zip(mixed[::3], answers[::3], strict=True):
        assert_allclose(probabilities(hits), probabilities(search.query(question, k=4)), rtol=1e-4)
    assert probabilities(search.query(photograph)) == [None] * 5


def test_photographs_asked_for_were_not_learned_from_and_the_second_training_takes_all(captioned, remembered):
    learned, asked = remembered
    captions, descriptors = captioned
    TextImageSearch(regressor=Remembering(), calibration_share=0.2).fit(descriptors, captions)
    first, second = learned
    assert len(asked[0]) == 60
    assert set(first).isdisjoint(asked[0])
    assert sorted(first + asked[0]) == second == list(range(300))


def test_no_more_are_set_aside_than_a_temperature_needs(captioned, remembered, monkeypatch):
    monkeypatch.setattr(learning, "MOST_SET_ASIDE", 25)
    learned, asked = remembered
    captions, descriptors = captioned
    TextImageSearch(regressor=Remembering(), calibration_share=0.5).fit(descriptors, captions)
    assert [len(each) for each in asked + learned] == [25, 275, 300]


@pytest.mark.parametrize(
    ("n", "share", "enough"), [(100, 0.2, True), (95, 0.2, False), (100, 0.8, True), (95, 0.8, False)]
)
def test_a_temperature_takes_twenty_photographs_that_are_set_aside_and_as_many_others(
    captioned, n, share, enough
):
    search = fit_ridge(captioned, n, calibration_share=share)
    assert (search.calibrator_ is not None) is enough


def test_photographs_without_captions_say_nothing_about_confidence(captioned, remembered):
    _, asked = remembered
    captions, descriptors = captioned
    captioned_only = fit_ridge(captioned, n=200, whitener="passthrough")
    bare = np.arange(0, 200, 2)  # before each of these comes a photograph without captions
    photos = np.insert(descriptors[:200], bare, descriptors[200:], axis=0)
    own = [each for i in range(200) for each in ([[], captions[i]] if i in bare else [captions[i]])]
    search = TextImageSearch(regressor=TextToVisualRegressor(), whitener="passthrough").fit(photos, own)
    assert_array_equal(search.bank_, captioned_only.bank_)
    assert search.calibrator_.temperature_ == captioned_only.calibrator_.temperature_
    assert all(own[i] for i in asked[-1])


def test_saved_search_is_as_sure_as_before(search, sentences, tmp_path):
    search.save(tmp_path / "model")
    loaded = TextImageSearch.load(tmp_path / "model")
    assert loaded.calibrator_.temperature_ == search.calibrator_.temperature_
    answers = search.query(sentences, k=7)
    assert None not in probabilities(answers[0])
    assert loaded.query(sentences, k=7) == answers


@pytest.fixture(scope="module")
def unseen():
    """Return the default search, and 300 photographs with captions that it has not seen."""
    captions, descriptors = make_captioned_descriptors(800, random_state=0)
    return TextImageSearch().fit(descriptors[:500], captions[:500]), descriptors[500:], captions[500:]


@pytest.mark.parametrize("size", [10, 30, 300])
def test_probabilities_come_true_in_galleries_of_any_size(unseen, size):
    search, descriptors, captions = unseen
    parts = [slice(start, start + size) for start in range(0, 300, size)]
    reports = [search.evaluate(descriptors[part], captions[part]) for part in parts]
    confidence = np.concatenate([report.confidence for report in reports])
    right = np.concatenate([report.first_is_right for report in reports])
    assert expected_calibration_error(confidence, right) < 0.06
    assert_allclose(confidence.mean(), right.mean(), atol=0.05)
    # Those of which it is surer are right more often.
    surer = confidence > np.median(confidence)
    assert right[surer].mean() > 1.5 * right[~surer].mean()


@pytest.mark.parametrize("factor", [0.5, 2])
def test_another_temperature_comes_less_true(unseen, factor):
    search, descriptors, captions = unseen
    found = search.evaluate(descriptors, captions)
    wrong = copy.deepcopy(search)
    wrong.calibrator_.temperature_ *= factor
    other = wrong.evaluate(descriptors, captions)
    assert_array_equal(other.ranks, found.ranks)
    assert other.calibration_error > 2 * found.calibration_error
    assert other.brier_score > found.brier_score


def test_evaluation_states_the_probability_of_the_first_hit_of_each_query(search, captioned):
    captions, descriptors = [["zzz", *own[1:]] for own in captioned[0][250:]], captioned[1][250:]
    report = search.evaluate(descriptors, captions)
    assert report.confidence.shape == (250,)
    assert_allclose(report.confidence[::5], 1 / 50)
    answers = search.query([sentence for own in captions for sentence in own], k=1)
    assert_allclose(report.confidence, [hits[0].probability for hits in answers], rtol=1e-4)
    assert_array_equal(report.first_is_right, [hits[0].id == i // 5 for i, hits in enumerate(answers)])


def test_distances_make_probabilities_too(captioned):
    captions, descriptors = captioned
    recipe = TextImageSearch.from_preset("recipe", regressor=TextToVisualRegressor(), calibration_share=0.15)
    recipe.fit(descriptors[:250], captions[:250]).add(descriptors[250:])
    sentences = [sentence for own in captions[250:] for sentence in own]
    known = next(sentence for sentence in sentences if recipe.vectorizer_.transform([sentence]).nnz)
    hits = recipe.query(known, k=50)
    assert_allclose(sum(probabilities(hits)), 1, rtol=1e-5)
    squared = np.array([hit.score for hit in hits]) ** 2
    assert_allclose(
        probabilities(hits), softmax(-squared / recipe.calibrator_.temperature_), rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, "a"])
def test_shares_that_are_none_are_refused_before_anything_is_learned(share):
    captions, descriptors = make_captioned_descriptors(60, random_state=0)
    search = TextImageSearch(calibration_share=share)
    with pytest.raises(ValueError, match=r"calibration_share=.* must lie between 0 and 1"):
        search.fit(descriptors, captions)
    assert not hasattr(search, "regressor_")


@pytest.mark.parametrize(("enough", "n_learned"), [(1, 150), (200, 200), (1000, 240)])
def test_of_many_photographs_half_are_enough_to_calibrate(
    captioned, remembered, monkeypatch, enough, n_learned
):
    monkeypatch.setattr(learning, "ENOUGH_LEARNED", enough)
    learned, asked = remembered
    captions, descriptors = captioned
    TextImageSearch(regressor=Remembering(), calibration_share=0.2).fit(descriptors, captions)
    assert len(learned[0]) == n_learned
    assert set(learned[0]).isdisjoint(asked[0])
    assert len(learned[1]) == 300
