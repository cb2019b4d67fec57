"""Captions and descriptors that belong together, made of random numbers without any picture."""

from numbers import Integral, Real

import numpy as np
from sklearn.preprocessing import normalize
from sklearn.utils import check_random_state, check_scalar

from txt2img._types import Array, Seed

__all__ = ["make_captioned_descriptors"]

_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprtvz" for vowel in "aeiou"]
_SYLLABLES_PER_WORD = 3
_WORDS_PER_TOPIC = 8
_TOPICS_PER_PHOTOGRAPH = 4
_WORDS_PER_CAPTION = 4
_SHARE_OF_FUNCTION_WORDS = 0.4
_N_FUNCTION_WORDS = 6


def make_captioned_descriptors(
    n_photographs: int = 500,
    captions_per_photograph: int = 5,
    n_features: int = 64,
    *,
    n_topics: int = 40,
    noise: float = 1.25,
    random_state: Seed = 0,
) -> tuple[list[list[str]], Array]:
    """Make descriptors and captions that depend on the same hidden topics.

    Each photograph is about four of the topics, with weights. Its descriptor is their weighted sum, each
    topic being a random direction, plus noise, with negative values cut to 0 as by a ReLU, and length 1.
    Each caption is four words: some that say nothing, the others synonyms out of the topics of the
    photograph, drawn by weight. So the descriptor can be learnt from the words, but not fully.

    Parameters
    ----------
    n_photographs : int, default=500
        Number of photographs.
    captions_per_photograph : int, default=5
        Number of captions of each.
    n_features : int, default=64
        Width of the descriptors.
    n_topics : int, default=40
        Number of topics, at least 4 and at most 1,000.
    noise : float, default=1.25
        Standard deviation of the noise, in units of that of the weighted sum.
    random_state : int, RandomState instance or None, default=0
        Seed of everything.

    Returns
    -------
    captions : list of list of str
        Captions of each photograph, in words of an invented language.
    descriptors : ndarray of shape (n_photographs, n_features), dtype float32
        Non-negative, each row of Euclidean length 1.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> from txt2img.datasets import make_captioned_descriptors
    >>> captions, descriptors = make_captioned_descriptors(100, 5, n_features=32)
    >>> len(captions), descriptors.shape
    (100, (100, 32))
    """
    check_scalar(n_photographs, "n_photographs", Integral, min_val=1)
    check_scalar(captions_per_photograph, "captions_per_photograph", Integral, min_val=1)
    check_scalar(n_features, "n_features", Integral, min_val=2)
    check_scalar(n_topics, "n_topics", Integral, min_val=_TOPICS_PER_PHOTOGRAPH, max_val=1000)
    check_scalar(noise, "noise", Real, min_val=0)
    rng = check_random_state(random_state)
    weights = _topic_weights(n_photographs, n_topics, rng)
    descriptors = _descriptors(weights, n_features, noise, rng)
    vocabulary = _invented_words(n_topics * _WORDS_PER_TOPIC + _N_FUNCTION_WORDS, rng)
    captions = [
        [_caption(own_weights, vocabulary, rng) for _ in range(captions_per_photograph)]
        for own_weights in weights
    ]
    return captions, descriptors


def _topic_weights(n_photographs: int, n_topics: int, rng: np.random.RandomState) -> Array:
    """Give every photograph its topics: rows that sum to 1, most entries 0."""
    weights = np.zeros((n_photographs, n_topics))
    for row in weights:
        chosen = rng.choice(n_topics, _TOPICS_PER_PHOTOGRAPH, replace=False)
        row[chosen] = rng.dirichlet(np.full(_TOPICS_PER_PHOTOGRAPH, 2.0))
    return weights


def _descriptors(weights: Array, n_features: int, noise: float, rng: np.random.RandomState) -> Array:
    signal = weights @ rng.standard_normal((weights.shape[1], n_features))
    noisy = signal + noise * signal.std() * rng.standard_normal(signal.shape)
    positive = np.maximum(noisy, 0)
    positive[~positive.any(axis=1)] = 1
    return normalize(positive).astype(np.float32)


def _invented_words(n_words: int, rng: np.random.RandomState) -> list[str]:
    codes = rng.choice(len(_SYLLABLES) ** _SYLLABLES_PER_WORD, n_words, replace=False)
    digits = np.unravel_index(codes, (len(_SYLLABLES),) * _SYLLABLES_PER_WORD)
    return ["".join(_SYLLABLES[digit] for digit in word) for word in zip(*digits)]


def _caption(weights: Array, vocabulary: list[str], rng: np.random.RandomState) -> str:
    """Draw words: function words come first in the vocabulary, then those of topic 0, of topic 1, ..."""
    topics = rng.choice(len(weights), _WORDS_PER_CAPTION, p=weights)
    words = _N_FUNCTION_WORDS + topics * _WORDS_PER_TOPIC + rng.randint(_WORDS_PER_TOPIC, size=len(topics))
    empty = rng.uniform(size=len(words)) < _SHARE_OF_FUNCTION_WORDS
    words[empty] = rng.randint(_N_FUNCTION_WORDS, size=empty.sum())
    return " ".join(vocabulary[word] for word in words)
