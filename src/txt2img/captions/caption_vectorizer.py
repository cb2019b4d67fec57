"""TF-IDF vectors of captions, with document frequency counted by photograph."""

import warnings
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property, lru_cache
from itertools import islice
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, RealNotInt
from sklearn.utils.validation import check_is_fitted

from txt2img._callbacks import CallbackSupportMixin, one_task
from txt2img._doc_link import DocLinkMixin
from txt2img._grouping import photograph_of_caption
from txt2img._types import Array
from txt2img.captions.checks import check_captions
from txt2img.captions.words import fold_accents, load_stemmer, split_words, stem
from txt2img.exceptions import UnknownWordsWarning

# Starts the name of a term that is a character n-gram; no word contains it.
_NGRAM_MARK = "~"


class CaptionVectorizer(  # type: ignore[call-arg]
    CallbackSupportMixin, DocLinkMixin, TransformerMixin, BaseEstimator, auto_wrap_output_keys=None
):
    r"""Turn captions into L2-normalised TF-IDF vectors.

    The value of a term in a caption is its number of occurrences times

    .. math:: \mathrm{idf} = \ln\frac{1 + n}{1 + \mathrm{df}} + 1

    where :math:`n` is the number of photographs and :math:`\mathrm{df}` the number of photographs of which
    some caption contains the term. Counting photographs and not captions makes `min_df` and the inverse
    document frequency independent of how many people described the same photograph. Where each caption has a
    photograph of its own, the vectors equal those of
    :class:`sklearn.feature_extraction.text.TfidfVectorizer`.

    There is no list of stop words. Such lists are made for other texts and hold words that captions need
    ("two", "under", "near"); the inverse document frequency, and `max_df` if it is lowered, see to what is
    frequent, in any language.

    A word that was not seen in training is looked up without its accents, and counts as the most frequent
    word that it may stand for: "nino" finds "niño", while "ano" is not "año" if both were seen.

    Parameters
    ----------
    language : str, default=None
        ISO 639-1 code, as in "es", of the language whose Snowball stemmer reduces the words ("perros" and
        "perro" become one term). Needs ``pip install "txt2img[text]"``. None keeps the words as they are.
    ngram_range : tuple (int, int), default=(1, 1)
        Smallest and largest number of words in a term.
    char_ngram_range : tuple (int, int), default=None
        Smallest and largest number of characters of the character n-grams that are terms beside the words, as
        in ``(3, 5)``. They stay within a word, counted with a space at either end, and their names start with
        "~". They let a word help that was not seen in training, and serve languages written without spaces.
    min_df : int or float, default=2
        A term in fewer photographs is left out. An int is a number, a float a share of the photographs.
    max_df : int or float, default=1.0
        A term in more photographs is left out. An int is a number, a float a share of the photographs. The
        default leaves nothing out: what people ask for, such as "dog", may be in a quarter of the
        photographs, and the inverse document frequency takes weight from function words anyway.
    max_features : int, default=None
        Keep only so many terms, those in the most photographs; of equals the first in the alphabet. Memory
        and time of a ridge regression grow with its square and its cube.
    sublinear_tf : bool, default=False
        Use 1 + ln(occurrences) in place of the number of occurrences.
    dtype : {np.float32, np.float64}, default=np.float32
        Type of the vectors.

    Attributes
    ----------
    vocabulary_ : dict of str to int
        Column of each term; the columns are in the order of the sorted terms.
    idf_ : ndarray of shape (n_terms,), dtype `dtype`
        Inverse document frequency of each term.
    stop_words_ : list of str
        Words left out because they are in more than `max_df` of the photographs.
    n_photographs_ : int
        Number of photographs seen by `fit`.

    See Also
    --------
    SentenceVectorizer : Vectors of a pretrained sentence encoder, to use beside or in place of these.

    References
    ----------
    K. Spärck Jones, "A statistical interpretation of term specificity and its application in retrieval",
    Journal of Documentation 28 (1972), 11-21.

    M. F. Porter, "Snowball: A language for stemming algorithms" (2001), https://snowballstem.org.

    Examples
    --------
    >>> from txt2img import CaptionVectorizer
    >>> captions = ["un niño juega", "el niño corre", "un perro corre", "un perro duerme en el sofá"]
    >>> vectorizer = CaptionVectorizer(max_df=0.7)
    >>> X = vectorizer.fit_transform(captions, groups=["a", "a", "b", "c"])
    >>> vectorizer.get_feature_names_out()
    array(['corre', 'el', 'perro'], dtype=object)
    >>> X.shape
    (4, 3)
    """

    _parameter_constraints: dict[str, Any] = {
        "language": [str, None],
        "ngram_range": [tuple, list],
        "char_ngram_range": [tuple, list, None],
        "min_df": [Interval(RealNotInt, 0, 1, closed="both"), Interval(Integral, 1, None, closed="left")],
        "max_df": [Interval(RealNotInt, 0, 1, closed="both"), Interval(Integral, 1, None, closed="left")],
        "max_features": [Interval(Integral, 1, None, closed="left"), None],
        "sublinear_tf": ["boolean"],
        "dtype": "no_validation",
    }

    def __init__(
        self,
        *,
        language: str | None = None,
        ngram_range: tuple[int, int] = (1, 1),
        char_ngram_range: tuple[int, int] | None = None,
        min_df: float = 2,
        max_df: float = 1.0,
        max_features: int | None = None,
        sublinear_tf: bool = False,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.language = language
        self.ngram_range = ngram_range
        self.char_ngram_range = char_ngram_range
        self.min_df = min_df
        self.max_df = max_df
        self.max_features = max_features
        self.sublinear_tf = sublinear_tf
        self.dtype = dtype

    def fit(
        self, captions: Iterable[str], y: ArrayLike | None = None, groups: Iterable[Hashable] | None = None
    ) -> Self:
        """Learn the vocabulary and the inverse document frequencies.

        Parameters
        ----------
        captions : iterable of str, of length n_captions
            The captions.
        y : array-like of shape (n_captions, n_features), default=None
            Descriptor of the photograph of each caption. Without `groups`, captions with the same descriptor
            describe the same photograph.
        groups : array-like of shape (n_captions,), default=None
            Photograph of each caption. With neither `groups` nor `y` each caption has one of its own.

        Returns
        -------
        CaptionVectorizer
            The fitted vectorizer.

        Raises
        ------
        ValueError
            If there are no captions, if an entry is not a string, if a parameter is not valid, or if no term
            is left between `min_df` and `max_df`.
        MissingExtraError
            If `language` is given and snowballstemmer is not installed.
        """
        self._fit(captions, y, groups)
        return self

    def fit_transform(
        self, captions: Iterable[str], y: ArrayLike | None = None, groups: Iterable[Hashable] | None = None
    ) -> csr_matrix:
        """Learn from captions and return their vectors.

        Equals ``fit(captions, y, groups).transform(captions)`` but splits the captions into words only once,
        and does not warn of captions without a term, whose words were seen but are too rare or too frequent.

        Parameters
        ----------
        captions : iterable of str, of length n_captions
            The captions.
        y : array-like of shape (n_captions, n_features), default=None
            As in `fit`.
        groups : array-like of shape (n_captions,), default=None
            As in `fit`.

        Returns
        -------
        csr_matrix of shape (n_captions, n_terms), dtype `dtype`
            Rows of length one, or zero for a caption without a term of the vocabulary.
        """
        return self._vectors(self._fit(captions, y, groups))

    def transform(self, captions: Iterable[str]) -> csr_matrix:
        """Turn captions into TF-IDF vectors.

        Parameters
        ----------
        captions : iterable of str, of length n_captions
            The captions.

        Returns
        -------
        csr_matrix of shape (n_captions, n_terms), dtype `dtype`
            Rows of length one, or zero for a caption without a term of the vocabulary.

        Warns
        -----
        UnknownWordsWarning
            If a caption has no term of the vocabulary.
        """
        if not hasattr(self, "vocabulary_"):
            check_is_fitted(self, "vocabulary_")
        captions = check_captions(captions)
        X = self._vectors([self._words(caption) for caption in captions])
        without_term = np.flatnonzero(np.diff(X.indptr) == 0)
        if len(without_term):
            _warn_unknown_words([captions[row] for row in without_term], len(captions))
        return X

    def get_feature_names_out(self, input_features: object = None) -> Array:
        """Give the term of each column.

        Parameters
        ----------
        input_features : None
            Ignored: captions have no feature names.

        Returns
        -------
        ndarray of shape (n_terms,), dtype object
            The terms. With a `language`, words are stems.
        """
        check_is_fitted(self, "vocabulary_")
        return np.array(sorted(self.vocabulary_, key=self.vocabulary_.__getitem__), dtype=object)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    @one_task
    def _fit(
        self, captions: Iterable[str], y: ArrayLike | None, groups: Iterable[Hashable] | None
    ) -> list[list[str]]:
        """Fit, and return the words of each caption."""
        captions = check_captions(captions)
        if not captions:
            raise ValueError("captions is empty: pass at least one caption")
        _check_ngram_range("ngram_range", self.ngram_range)
        if self.char_ngram_range is not None:
            _check_ngram_range("char_ngram_range", self.char_ngram_range)
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"dtype={self.dtype!r} is not supported: choose np.float32 or np.float64")
        if self.language is not None:
            load_stemmer(self.language)

        photograph = photograph_of_caption(len(captions), groups, y)
        n_photographs = int(photograph.max()) + 1
        sentences = [self._words(caption) for caption in captions]
        seen: defaultdict[str, int] = defaultdict()
        seen.default_factory = seen.__len__  # a new term gets the next number
        _, terms, indptr = self._count(sentences, seen.__getitem__)
        pairs = (np.repeat(photograph, np.diff(indptr)), terms)
        by_photograph = csr_matrix((np.ones(len(terms), bool), pairs), shape=(n_photographs, len(seen)))
        df = np.bincount(by_photograph.indices, minlength=len(seen))

        lowest = self.min_df if isinstance(self.min_df, Integral) else self.min_df * n_photographs
        highest = self.max_df if isinstance(self.max_df, Integral) else self.max_df * n_photographs
        kept = sorted(term for term, n in zip(seen, df) if lowest <= n <= highest)
        if not kept:
            raise ValueError(
                f"none of the {len(seen)} terms in captions is left with min_df={self.min_df} and "
                f"max_df={self.max_df}, counted over {n_photographs} photographs: "
                "lower min_df, raise max_df or pass more captions"
            )
        if self.max_features is not None and len(kept) > self.max_features:
            kept = sorted(sorted(kept, key=lambda term: -df[seen[term]])[: self.max_features])
        self.vocabulary_ = {term: column for column, term in enumerate(kept)}
        df_kept = df[[seen[term] for term in kept]]
        self.idf_ = (np.log((1 + n_photographs) / (1 + df_kept)) + 1).astype(self.dtype)
        self.stop_words_ = sorted(
            term for term, n in zip(seen, df) if n > highest and " " not in term and term[0] != _NGRAM_MARK
        )
        self.n_photographs_ = n_photographs
        self.__dict__.pop("_spellings", None)
        return sentences

    def _words(self, caption: str) -> list[str]:
        words = split_words(caption)
        if self.language is not None:
            words = [stem(word, self.language) for word in words]
        return words

    def _terms(self, words: list[str]) -> list[str]:
        smallest, largest = self.ngram_range
        terms = list(words) if smallest == 1 else []
        for n in range(max(smallest, 2), largest + 1):
            terms += [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
        if self.char_ngram_range is not None:
            for word in words:
                terms += _char_ngrams(word, *self.char_ngram_range)
        return terms

    def _count(
        self, sentences: list[list[str]], column_of: Callable[[str], int | None]
    ) -> tuple[Array, Array, Array]:
        """Count the terms of each sentence: values, columns and row pointers of a CSR matrix."""
        values, columns, indptr = array("i"), array("i"), array("q", [0])
        for words in sentences:
            counts = Counter(map(column_of, self._terms(words)))
            known = {column: n for column, n in counts.items() if column is not None}
            values.extend(known.values())
            columns.extend(known)
            indptr.append(len(columns))
        return np.asarray(values), np.asarray(columns), np.asarray(indptr)

    def _vectors(self, sentences: list[list[str]]) -> csr_matrix:
        """Weigh and normalise in double precision, whatever the type of the result."""
        known, with_folded_form = self._spellings
        sentences = [
            [word if word in known else with_folded_form.get(fold_accents(word), word) for word in words]
            for words in sentences
        ]
        values, columns, indptr = self._count(sentences, self.vocabulary_.get)
        if self.sublinear_tf:
            values = 1 + np.log(values)
        values = values * self.idf_[columns].astype(np.float64)
        rows = np.repeat(np.arange(len(sentences)), np.diff(indptr))
        values /= np.sqrt(np.bincount(rows, values**2, minlength=len(sentences)))[rows]
        shape = (len(sentences), len(self.vocabulary_))
        X = csr_matrix((values.astype(self.idf_.dtype), columns, indptr), shape=shape)
        X.sort_indices()
        return X

    @cached_property
    def _spellings(self) -> tuple[dict[str, float], dict[str, str]]:
        """Words that stand for themselves, and the most frequent one of each form without accents."""
        idf = dict.fromkeys(self.stop_words_, 0.0)
        for term, column in self.vocabulary_.items():
            if term[0] != _NGRAM_MARK:
                for word in term.split(" "):
                    idf[word] = min(idf.get(word, np.inf), self.idf_[column])
        with_folded_form: dict[str, str] = {}
        for word in sorted(idf, key=lambda word: (idf[word], word)):
            with_folded_form.setdefault(fold_accents(word), word)
        return idf, with_folded_form

    def _restore_state(self, state: dict[str, Any]) -> None:
        """Take in what was saved: columns that are none would be looked for outside of the matrices."""
        vocabulary, idf = state["vocabulary_"], state["idf_"]
        columns = [column for column in vocabulary.values() if type(column) is int]
        if sorted(columns) != list(range(len(vocabulary))) or idf.shape != (len(vocabulary),):
            raise ValueError("the terms of the vocabulary have not one column each")
        self.__dict__.update(state)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_spellings"}


@lru_cache(maxsize=2**14)
def _char_ngrams(word: str, smallest: int, largest: int) -> list[str]:
    padded = f" {word} "
    return [
        _NGRAM_MARK + padded[i : i + n]
        for n in range(smallest, largest + 1)
        for i in range(len(padded) - n + 1)
    ]


def _check_ngram_range(name: str, value: Sequence[int]) -> None:
    if len(value) != 2 or not all(isinstance(n, Integral) for n in value) or not 1 <= value[0] <= value[1]:
        raise ValueError(
            f"{name}={value!r} is not valid: pass two whole numbers (smallest, largest) "
            "with 1 <= smallest <= largest"
        )


def _warn_unknown_words(captions: list[str], n_all: int) -> None:
    words = (word for caption in captions for word in split_words(caption))
    examples = ", ".join(map(repr, islice(dict.fromkeys(islice(words, 100)), 5)))
    warnings.warn(
        f"{len(captions)} of {n_all} captions have no term in the vocabulary, so their vectors are zero: "
        + (f"{examples}: not seen in training, or left out by min_df or max_df" if examples else "no words"),
        UnknownWordsWarning,
        stacklevel=3,
    )
