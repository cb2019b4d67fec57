"""Words for photographs that nobody has captioned."""

import warnings
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.preprocessing import normalize

from txt2img._top_k import top_k
from txt2img._types import Array
from txt2img._vectors import are_not_empty
from txt2img.captions.words import fold_accents, split_words
from txt2img.exceptions import UnknownWordsWarning
from txt2img.search.answers import Word

# A word of so many photographs is believed by half, a rarer one by less.
HALF_BELIEVED = 10
BLOCK_BYTES = 2**26


def count_words(captions: Iterable[Iterable[str]]) -> dict[str, int]:
    """Count the photographs whose captions use a word.

    Parameters
    ----------
    captions : list of list of str
        The sentences of each photograph.

    Returns
    -------
    dict of str to int
        The words of two photographs or more, the most frequent first.
    """
    counts: Counter[str] = Counter()
    for own in captions:
        # Not a set, whose order would decide between equally frequent words.
        counts.update(list(dict.fromkeys(word for sentence in own for word in split_words(sentence))))
    return {word: n for word, n in counts.most_common() if n > 1}


def known_word_shares(sentences: Iterable[str], words: Iterable[str]) -> list[float]:
    """Say how many of the words of each sentence are known.

    Parameters
    ----------
    sentences : list of str
        Sentences.
    words : iterable of str
        Known words; accents do not count.

    Returns
    -------
    list of float
        Share of the words of each sentence, from 0 to 1; 0 for a sentence without words.
    """
    known = set(map(fold_accents, words))
    asked = [[fold_accents(word) in known for word in split_words(sentence)] for sentence in sentences]
    return [sum(own) / len(own) if own else 0.0 for own in asked]


def word_directions(
    words: dict[str, int], vectorizer: Any, regressor: Any, centre: Array
) -> tuple[Array, Array]:
    """Find for each word the direction in which the photographs lie that it describes.

    Parameters
    ----------
    words : dict of str to int
        Number of training photographs of each word, the most frequent first.
    vectorizer, regressor : estimators
        Fitted; together they predict a descriptor from a word.
    centre : ndarray of shape (n_features,)
        Mean of the training photographs' descriptors of length 1.

    Returns
    -------
    texts : ndarray of shape (n_distinct,), dtype object
        The words that the vectorizer knows. Of those with the same prediction, such as the forms of one
        stem, the most frequent stands for all.
    directions : ndarray of shape (n_distinct, n_features)
        Direction of the prediction seen from `centre`, of length n / (n + 10) for a word of n photographs:
        what is known of a rare word is mostly chance.

    Raises
    ------
    ValueError
        If there is no such word.
    """
    if not words:
        raise ValueError("no word of the training captions describes two photographs: fit on more captions")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownWordsWarning)
        vectors = vectorizer.transform(list(words))
    known = np.flatnonzero(are_not_empty(vectors))
    if not len(known):
        raise ValueError(
            "the vectorizer knows none of the words of the training captions by itself: "
            "let single words be terms, as with ngram_range=(1, 1)"
        )
    predicted = regressor.predict(vectors[known])
    distinct = np.sort(np.unique(predicted, axis=0, return_index=True)[1])
    texts, counts = (np.array(list(each), dtype=object)[known[distinct]] for each in (words, words.values()))
    believed = (counts / (counts + HALF_BELIEVED)).astype(predicted.dtype)
    return texts, _directions(predicted[distinct], centre) * believed[:, None]


def best_words(
    descriptors: Array, texts: Array, directions: Array, centre: Array, k: int
) -> list[list[Word]]:
    """Find the words that describe each photograph best.

    Parameters
    ----------
    descriptors : ndarray of shape (n_photos, n_features)
        In the space that is searched; rows of NaN have no words.
    texts, directions : ndarrays of shape (n_words,) and (n_words, n_features)
        From `word_directions`.
    centre : ndarray of shape (n_features,)
        As in `word_directions`. Seen from there, no word fits every photograph.
    k : int
        Number of words, at most as many as there are.

    Returns
    -------
    list of list of Word
        The best first.
    """
    missing = np.all(np.isnan(descriptors), axis=1)
    shown = _directions(np.where(missing[:, None], 0, descriptors), centre)
    answers = []
    step = max(1, BLOCK_BYTES // (4 * len(texts)))
    for start in range(0, len(shown), step):
        best, columns = top_k(shown[start : start + step] @ directions.T, min(k, len(texts)))
        answers += [
            [Word(*pair) for pair in zip(*row)] for row in zip(texts[columns].tolist(), best.tolist())
        ]
    return [[] if gone else own for own, gone in zip(answers, missing)]


def _directions(descriptors: Array, centre: Array) -> Array:
    return normalize(normalize(descriptors) - centre)
