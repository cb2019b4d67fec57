from collections import Counter

import numpy as np
import pytest
from conftest import mean_colour
from numpy.testing import assert_allclose
from sklearn.pipeline import FeatureUnion

from txt2img import CaptionVectorizer, ImageFeaturizer, SentenceVectorizer, TextImageSearch
from txt2img.datasets import make_captioned_descriptors
from txt2img.search import Word
from txt2img.search.words import count_words


@pytest.fixture
def search(captioned):
    captions, descriptors = captioned
    return TextImageSearch(calibration_share=None).fit(descriptors[:250], captions[:250])


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def letters(captions):
    """A stand-in for a sentence encoder: how often each letter occurs."""
    return np.array(
        [[caption.count(letter) for letter in "abdegiklmnoprstuz"] for caption in captions], float
    )


def test_words_are_counted_by_photograph():
    captions = [["A dog, a dog", "the dog"], ["a Cat and a dog"], ["the cat"], []]
    assert count_words(captions) == {"dog": 2, "the": 2, "cat": 2}
    assert list(count_words(captions)) == ["dog", "the", "cat"]


@pytest.mark.parametrize("whitener", [None, "passthrough"])
def test_score_is_the_cosine_seen_from_the_centre_times_the_belief_in_the_word(captioned, whitener):
    captions, descriptors = captioned
    search = TextImageSearch(whitener=whitener, calibration_share=None)
    search.fit(descriptors[:250], captions[:250])
    counts = Counter(word for own in captions[:250] for word in set(" ".join(own).split()))
    centre = unit(search.transform(descriptors[:250])).mean(axis=0)
    described = search.describe(descriptors[250:253], k=10_000)
    for shown, words in zip(unit(search.transform(descriptors[250:253])), described, strict=True):
        assert [word.score for word in words] == sorted((word.score for word in words), reverse=True)
        single = {term for term in search.vectorizer_.vocabulary_ if " " not in term}
        assert {word.text for word in words} == single
        for word in words[::17]:
            seen = unit(search.predict([word.text])[0]) - centre
            cosine = unit(seen) @ unit(shown - centre)
            assert_allclose(word.score, cosine * counts[word.text] / (counts[word.text] + 10), atol=1e-5)


def test_words_of_unseen_photographs_are_in_their_captions():
    captions, descriptors = make_captioned_descriptors(700, random_state=0)
    search = TextImageSearch(calibration_share=None).fit(descriptors[:500], captions[:500])
    described = search.describe(descriptors[500:], k=3)
    truth = [set(" ".join(own).split()) for own in captions[500:]]
    found = np.mean([word.text in own for words, own in zip(described, truth) for word in words])
    by_others = np.mean([word.text in own for words, own in zip(described, truth[1:]) for word in words])
    assert found > 3 * by_others


def test_a_word_of_every_photograph_describes_none(captioned):
    """Far from the origin, as descriptors without whitening are, all words point the same way."""
    captions, descriptors = captioned
    captions = [[f"{sentence} everywhere" for sentence in own] for own in captions]
    search = TextImageSearch(whitener="passthrough", calibration_share=None).fit(descriptors + 0.5, captions)
    for words in search.describe(descriptors[:20] + 0.5, k=5):
        assert "everywhere" not in [word.text for word in words]


def test_forms_of_a_stem_are_one_word_the_most_frequent():
    captions = [["two dogs"]] * 3 + [["one dog"]] * 2 + [["one cat"]] * 2
    descriptors = np.repeat(np.eye(3, dtype=np.float32), [3, 2, 2], axis=0)
    search = TextImageSearch(
        whitener="passthrough", vectorizer=CaptionVectorizer(language="en", ngram_range=(1, 2))
    )
    search.fit(descriptors, captions)
    words = [word.text for word in search.describe(descriptors[:1], k=9)[0]]
    assert "dogs" in words
    assert sorted(words) == ["cat", "dogs", "one", "two"]


@pytest.mark.parametrize(
    "vectorizer",
    [
        SentenceVectorizer(letters),
        FeatureUnion([("words", CaptionVectorizer()), ("letters", SentenceVectorizer(letters))]),
        CaptionVectorizer(char_ngram_range=(3, 4)),
        CaptionVectorizer(min_df=8, max_df=15),
    ],
    ids=["sentences", "both", "characters", "few words"],
)
def test_any_vectorizer_gives_whole_words_of_the_captions(captioned, vectorizer):
    captions, descriptors = captioned
    search = TextImageSearch(vectorizer=vectorizer, calibration_share=None)
    search.fit(descriptors[:250], captions[:250])
    spoken = {word for own in captions[:250] for sentence in own for word in sentence.split()}
    (words,) = search.describe(descriptors[250:251], k=4)
    assert len(words) == 4
    assert all(isinstance(word, Word) and word.text in spoken for word in words)
    if isinstance(vectorizer, CaptionVectorizer):
        assert {word.text for word in words} <= set(search.vectorizer_.vocabulary_)


def test_saved_search_describes_alike_and_a_new_fit_forgets(search, captioned, tmp_path):
    descriptors = captioned[1]
    before = search.describe(descriptors[250:])
    search.save(tmp_path / "model")
    assert TextImageSearch.load(tmp_path / "model").describe(descriptors[250:]) == before
    search.fit(descriptors[:100], [["nothing else"]] * 100)
    assert {word.text for word in search.describe(descriptors[:1])[0]} <= {"nothing", "else"}


def test_photographs_that_cannot_be_read_have_no_words(scene_files, tmp_path):
    paths, captions = scene_files
    search = TextImageSearch(ImageFeaturizer(mean_colour, on_error="warn")).fit(paths, captions)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photograph")
    with pytest.warns(UserWarning, match="1 of 3 photographs cannot be read"):
        described = search.describe([paths[0], str(broken), paths[1]], k=2)
    assert [len(words) for words in described] == [2, 0, 2]
    assert described[::2] == search.describe(paths[:2], k=2)


def test_blocks_do_not_change_the_words(search, captioned, monkeypatch):
    whole = search.describe(captioned[1][250:])
    monkeypatch.setattr("txt2img.search.words.BLOCK_BYTES", 1)
    for words, same in zip(search.describe(captioned[1][250:]), whole, strict=True):
        assert [word.text for word in words] == [word.text for word in same]


def test_searches_without_words(captioned):
    captions, descriptors = captioned
    search = TextImageSearch(whitener="passthrough", vectorizer=CaptionVectorizer(min_df=1))
    search.fit(descriptors[:1], captions[:1])
    with pytest.raises(ValueError, match="no word of the training captions describes two photographs"):
        search.describe(descriptors[:1])
    pairs = TextImageSearch(vectorizer=CaptionVectorizer(ngram_range=(2, 2)), calibration_share=None)
    pairs.fit(descriptors, captions)
    with pytest.raises(ValueError, match="the vectorizer knows none of the words of the training captions"):
        pairs.describe(descriptors[:1])
    with pytest.raises(ValueError, match="k=0 must be a whole number of at least 1"):
        pairs.describe(descriptors[:1], k=0)
    with pytest.raises(ValueError, match="not fitted yet"):
        TextImageSearch().describe(descriptors[:1])
