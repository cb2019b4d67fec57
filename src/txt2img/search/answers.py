"""What a search answers with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, SupportsIndex, overload

from txt2img._types import Array
from txt2img.search.notebook import answers_as_html, hits_as_html


class Hit(NamedTuple):
    """One photograph of an answer.

    Parameters
    ----------
    id : hashable
        Id of the photograph: its path, or what was given as its id.
    score : float
        How near it is to what the sentence describes; greater is better.
    rank : int
        Its place in the answer, from 1.
    probability : float or None, default=None
        How probable it is that this is the photograph meant, given that it is in the gallery; None if the
        search was not calibrated, or asked with a photograph. It means the same for every query, so that one
        cut-off serves them all; of a sentence without a known word it is chance.
    duplicates : tuple of hashables, default=()
        Ids of its near-duplicates, if the search was asked to group them.

    Examples
    --------
    >>> from txt2img.search import Hit
    >>> Hit("cat.jpg", score=0.31, rank=1).id
    'cat.jpg'
    """

    id: Any
    score: float
    rank: int
    probability: float | None = None
    duplicates: tuple[Any, ...] = ()


class Hits(list[Hit]):
    """Hits of one query, the best first: a list that a notebook shows as photographs.

    Parameters
    ----------
    iterable : iterable of Hit, default=()
        The hits.

    Notes
    -----
    Thumbnails are made when the notebook asks for them, of the first 12 hits, from the files that their ids
    name; nothing else of a file gets into the notebook. An id that names no photograph that can be read has a
    blank in its place.

    Examples
    --------
    >>> from txt2img.search import Hit, Hits
    >>> hits = Hits([Hit("cat.jpg", score=0.31, rank=1), Hit("dog.jpg", score=0.24, rank=2)])
    >>> hits == list(hits)
    True
    >>> [hit.id for hit in hits[:1]]
    ['cat.jpg']
    """

    @overload
    def __getitem__(self, place: SupportsIndex) -> Hit: ...
    @overload
    def __getitem__(self, place: slice) -> Hits: ...
    def __getitem__(self, place: SupportsIndex | slice) -> Hit | Hits:
        if isinstance(place, slice):
            return Hits(super().__getitem__(place))
        return super().__getitem__(place)

    def _repr_html_(self) -> str:
        return hits_as_html(self)


class Answers(list[Hits]):
    """Hits of several queries, in a notebook each below its question."""

    def __init__(self, answers: Iterable[Hits], questions: Iterable[object]) -> None:
        super().__init__(answers)
        self.questions = [question if isinstance(question, str) else repr(question) for question in questions]

    def _repr_html_(self) -> str:
        return answers_as_html(self, self.questions)


class Word(NamedTuple):
    """One word for a photograph.

    Parameters
    ----------
    text : str
        The word, as the training captions spell it.
    score : float
        How well it fits the photograph, at most 1; greater is better.

    Examples
    --------
    >>> from txt2img.search import Word
    >>> Word("cat", score=0.4).text
    'cat'
    """

    text: str
    score: float


def as_hits(
    scores: Array, ids: Array, probabilities: Array | None = None, *, calibrated: Array, grouped: bool
) -> list[Hits]:
    """Make of the arrays that an index finds one list of hits a query.

    Parameters
    ----------
    scores, ids : ndarrays of shape (n_queries, k)
        From `ImageIndex.search`.
    probabilities : ndarray of shape (n_queries, k), default=None
        From there too.
    calibrated : ndarray of shape (n_queries,), dtype bool
        Of which queries the probabilities hold.
    grouped : bool
        Whether each of ids is a tuple of near-duplicates, empty where there are no more.

    Returns
    -------
    list of Hits
        The best first.
    """
    answers = []
    for query, (own_scores, own_ids) in enumerate(zip(scores.tolist(), ids.tolist())):
        chances: list[float | None] = [None] * len(own_ids)
        if probabilities is not None and calibrated[query]:
            chances = probabilities[query].tolist()
        if grouped:
            found = zip([own for own in own_ids if own], own_scores, chances)
            hits = [Hit(own[0], score, rank, p, own[1:]) for rank, (own, score, p) in enumerate(found, 1)]
        else:
            found = zip(own_ids, own_scores, chances)
            hits = [Hit(id, score, rank, p) for rank, (id, score, p) in enumerate(found, 1)]
        answers.append(Hits(hits))
    return answers
