"""What a search answers with."""

from typing import NamedTuple


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
        cut-off serves them all.

    Examples
    --------
    >>> from txt2img.search import Hit
    >>> Hit("cat.jpg", score=0.31, rank=1).id
    'cat.jpg'
    """

    id: object
    score: float
    rank: int
    probability: float | None = None


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


def as_hits(scores, ids, probabilities):
    """Make of the arrays that an index finds one list of hits a query."""
    return [
        [Hit(id, score, rank, p) for rank, (id, score, p) in enumerate(zip(*row), start=1)]
        for row in zip(ids.tolist(), scores.tolist(), probabilities.tolist())
    ]
