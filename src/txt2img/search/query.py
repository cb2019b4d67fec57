"""Query: a question made of sentences and photographs, with weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Real
from typing import Any, NamedTuple, Self

import numpy as np

from txt2img._types import Array, Photograph
from txt2img.images.reading import describe_source
from txt2img.search.inputs import are_descriptors, is_descriptor

# What the terms of a query leave of one another, in parts of their weights, when they cancel out.
ROUNDING = 1e-5


class Query:
    """A question made of sentences and photographs, put together by ``+``, ``-`` and weights.

    Every term counts by its weight alone: what a sentence describes and what a photograph shows are
    vectors of length 1, times their weights, and the question is their sum. A query never changes;
    arithmetic makes new ones. Where one side of ``+`` or ``-`` is a query, the other may be a sentence.

    Parameters
    ----------
    *sentences : str
        One sentence, or several that describe the same thing, which share the weight 1 between them.

    Examples
    --------
    >>> from txt2img.search import Query
    >>> Query("a beach") - 0.5 * Query("people")
    Query('a beach') - 0.5 * Query('people')
    >>> "at night" + Query.photograph("holiday.jpg")
    Query('at night') + Query.photograph('holiday.jpg')
    >>> Query("a dog", "a dog on the beach")
    0.5 * Query('a dog') + 0.5 * Query('a dog on the beach')
    """

    __slots__ = ("_terms",)
    _terms: tuple[_Term, ...]
    __array_ufunc__ = None  # a numpy number times a query is a query, not an array

    def __init__(self, *sentences: str) -> None:
        if not sentences:
            raise ValueError("a query needs at least one sentence, as in Query('a beach')")
        for sentence in sentences:
            if not isinstance(sentence, str):
                raise ValueError(
                    f"sentences holds a {type(sentence).__name__} ({sentence!r}), not a string: pass each "
                    "sentence by itself, and photographs as Query.photograph(photo)"
                )
        self._terms = tuple(_Term("sentence", sentence, 1 / len(sentences)) for sentence in sentences)

    @classmethod
    def photograph(cls, photo: Photograph | Sequence[float]) -> Self:
        """Ask with a photograph for photographs like it.

        Parameters
        ----------
        photo : photograph, or array-like of shape (d,)
            Whatever the featurizer of the search takes, such as a path; or a descriptor as the search
            was fitted on.

        Returns
        -------
        Query
            The query. If the photograph is in the gallery itself, it is its own best answer.

        Examples
        --------
        >>> from txt2img.search import Query
        >>> Query.photograph("holiday.jpg")
        Query.photograph('holiday.jpg')
        """
        if are_descriptors(photo):
            raise ValueError(f"photo has shape {photo.shape}: pass one descriptor, of one dimension")
        if is_descriptor(photo):
            return cls._of_terms(_Term("descriptor", np.array(photo, dtype=np.float32), 1.0))
        return cls._of_terms(_Term("photograph", photo, 1.0))

    @classmethod
    def _of_terms(cls, *terms: _Term) -> Self:
        query = object.__new__(cls)
        query._terms = terms
        return query

    @property
    def sentences(self) -> list[str]:
        """Sentences whose weight is not zero."""
        return [term.content for term in self._terms if term.kind == "sentence" and term.weight]

    def __add__(self, other: str | Query) -> Self:
        if isinstance(other, str):
            other = Query(other)
        return self._of_terms(*self._terms, *other._terms) if isinstance(other, Query) else NotImplemented

    def __radd__(self, other: str) -> Query:
        return Query(other) + self if isinstance(other, str) else NotImplemented

    def __sub__(self, other: str | Query) -> Self:
        if isinstance(other, str):
            other = Query(other)
        return self + -other if isinstance(other, Query) else NotImplemented

    def __rsub__(self, other: str) -> Query:
        return Query(other) - self if isinstance(other, str) else NotImplemented

    def __mul__(self, weight: float) -> Self:
        if not isinstance(weight, Real):
            return NotImplemented
        if not np.isfinite(weight):
            raise ValueError(f"weight={weight!r} is not finite: multiply a query by a number such as 0.5")
        return self._of_terms(*(term._replace(weight=float(weight * term.weight)) for term in self._terms))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Self:
        return self * (1 / divisor) if isinstance(divisor, Real) else NotImplemented

    def __neg__(self) -> Self:
        return -1 * self

    def __repr__(self) -> str:
        signs = ["-" if term.weight < 0 else "+" for term in self._terms]
        written = " ".join(f"{sign} {term}" for sign, term in zip(signs, self._terms))
        return f"-{written[2:]}" if signs[0] == "-" else written[2:]


def as_queries(questions: Iterable[str | Query]) -> list[Query]:
    """Make of sentences and queries a list of queries."""
    queries = []
    for position, question in enumerate(questions):
        if not isinstance(question, str | Query):
            raise ValueError(
                f"text[{position}] is a {type(question).__name__}, neither a sentence nor a Query: "
                "a photograph is asked with as Query.photograph(photo)"
            )
        queries.append(Query(question) if isinstance(question, str) else question)
    return queries


def query_vectors(
    queries: list[Query], predict: Callable[[list[Any]], Array], transform: Callable[[list[Any]], Array]
) -> tuple[Array, Array]:
    """Turn queries into vectors of the space that is searched.

    All sentences are predicted in one batch, and so are all photographs.

    Parameters
    ----------
    queries : list of Query
        At least one.
    predict : callable
        From a list of sentences to their vectors.
    transform : callable
        From a list of photographs, or of descriptors, to their vectors.

    Returns
    -------
    vectors : ndarray of shape (n_queries, n_features)
        The vector of a single sentence as it was predicted. The vector of several terms has the
        direction of their weighted sum; its length, to which the cosine is blind, is the weighted mean of
        theirs.
    text_shares : ndarray of shape (n_queries,)
        Which part of the weights of each query are those of sentences, from 0 to 1.
    """
    asked = [[term for term in query._terms if term.weight] for query in queries]
    for position, terms in enumerate(asked):
        if not terms:
            raise ValueError(f"all weights of query {position} are zero: give one term at least a weight")
    vectors_of: dict[str, Iterator[Array]] = {}
    for kind, describe in (("sentence", predict), ("photograph", transform), ("descriptor", transform)):
        contents = [term.content for terms in asked for term in terms if term.kind == kind]
        if contents:
            vectors_of[kind] = iter(describe(contents))
    vectors = [_combine(terms, np.stack([next(vectors_of[term.kind]) for term in terms])) for terms in asked]
    return np.stack(vectors), np.array([_text_share(terms) for terms in asked])


class _Term(NamedTuple):
    kind: str  # "sentence", "photograph" or "descriptor"
    content: Any
    weight: float

    def __str__(self) -> str:
        weight = "" if abs(self.weight) == 1 else f"{abs(self.weight):.4g} * "
        if self.kind == "sentence":
            return f"{weight}Query({self.content!r})"
        return f"{weight}Query.photograph({describe_source(self.content)})"


def _combine(terms: list[_Term], vectors: Array) -> Array:
    weights = np.array([term.weight for term in terms])
    lengths = np.linalg.norm(vectors, axis=1)
    for term, length in zip(terms, lengths):
        if not length > 0:
            why = "could not be read" if np.isnan(length) else "has a vector of length zero"
            raise ValueError(f"the term {term} {why}: leave it out of the query")
    if len(terms) == 1 and weights[0] > 0:
        return vectors[0]
    combined = (weights / lengths) @ vectors
    left, total = np.linalg.norm(combined), np.abs(weights).sum()
    if left <= ROUNDING * total:
        raise ValueError(
            f"the terms of {Query._of_terms(*terms)!r} cancel out, so that it asks for nothing: "
            "change their weights"
        )
    return combined * (np.abs(weights) @ lengths / total / left)


def _text_share(terms: list[_Term]) -> float:
    weights = np.abs([term.weight for term in terms])
    return weights[[term.kind == "sentence" for term in terms]].sum() / weights.sum()
