import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.preprocessing import normalize

from txt2img.datasets import make_captioned_descriptors


def recall_at_5(captions, descriptors, n_train):
    """Share of held-out captions whose photograph is among the 5 nearest of ridge on TF-IDF."""
    mean = descriptors[:n_train].mean(axis=0)
    photograph = np.repeat(np.arange(len(captions)), len(captions[0]))
    sentences = np.array(captions).ravel()
    train = photograph < n_train
    vectorizer = TfidfVectorizer().fit(sentences[train])
    ridge = Ridge(alpha=3, solver="cholesky").fit(
        vectorizer.transform(sentences[train]).toarray(), descriptors[photograph[train]] - mean
    )
    predicted = ridge.predict(vectorizer.transform(sentences[~train]).toarray())
    scores = normalize(predicted) @ normalize(descriptors[n_train:] - mean).T
    true_score = np.take_along_axis(scores, photograph[~train, None] - n_train, axis=1)
    return np.mean((scores >= true_score).sum(axis=1) <= 5)


@pytest.mark.parametrize("random_state", [0, 1, 2])
def test_descriptors_can_be_learnt_from_the_words_but_not_fully(random_state):
    captions, descriptors = make_captioned_descriptors(random_state=random_state)
    chance = 5 / 100
    assert 5 * chance < recall_at_5(captions, descriptors, 400) < 0.75
    shuffled = np.random.RandomState(0).permutation(len(captions))
    assert recall_at_5(captions, descriptors[shuffled], 400) < 2.5 * chance


def test_noise_makes_it_harder():
    clear, noisy = (recall_at_5(*make_captioned_descriptors(noise=noise), 400) for noise in (0, 3))
    assert clear > noisy + 0.3


def test_descriptors_look_like_pooled_features():
    captions, descriptors = make_captioned_descriptors(50, 3, n_features=16, noise=0)
    assert descriptors.dtype == np.float32
    assert descriptors.shape == (50, 16)
    assert descriptors.min() >= 0
    np.testing.assert_allclose(np.linalg.norm(descriptors, axis=1), 1, rtol=1e-6)
    assert [len(own) for own in captions] == [3] * 50


def test_descriptors_without_any_positive_feature_have_length_one_too():
    _, descriptors = make_captioned_descriptors(200, 1, n_features=2)
    np.testing.assert_allclose(np.linalg.norm(descriptors, axis=1), 1, rtol=1e-6)


def test_same_seed_same_data():
    captions, descriptors = make_captioned_descriptors(20, random_state=7)
    same_captions, same_descriptors = make_captioned_descriptors(20, random_state=7)
    other_captions, _ = make_captioned_descriptors(20, random_state=8)
    assert captions == same_captions
    np.testing.assert_array_equal(descriptors, same_descriptors)
    assert captions != other_captions


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_photographs": 0}, "n_photographs == 0"),
        ({"captions_per_photograph": 0}, "captions_per_photograph == 0"),
        ({"n_features": 1}, "n_features == 1"),
        ({"n_topics": 3}, "n_topics == 3"),
        ({"noise": -1}, "noise == -1"),
    ],
)
def test_numbers_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_captioned_descriptors(**arguments)
