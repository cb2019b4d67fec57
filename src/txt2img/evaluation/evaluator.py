"""Evaluation of a search whose right answers are known."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from txt2img._doc_link import DocLinkMixin
from txt2img._types import Array
from txt2img.evaluation._blocks import finite_matrix
from txt2img.evaluation._search import Index, captions_ask, photographs_ask, search
from txt2img.evaluation.ranks import check_k
from txt2img.evaluation.report import RetrievalReport

__all__ = ["RetrievalEvaluator"]

DIRECTIONS = ("text_to_photograph", "photograph_to_text")


class RetrievalEvaluator(DocLinkMixin, BaseEstimator):
    """Find the rank of the right photograph of every query.

    Parameters
    ----------
    ks : sequence of int, default=(1, 2, 5, 10)
        Cut-offs of recall@k to report.
    direction : {"text_to_photograph", "photograph_to_text"}, default="text_to_photograph"
        What asks for what. In the second, every photograph asks for captions; its rank is that of the best of
        its own, as the field reports it.
    n_folds : int, default=None
        Part the photographs, in the order of the index, into so many galleries of equal size, and search
        each query in that of its photograph only. With 5,000 photographs of COCO, 5 is the field's "1K"
        protocol; None searches all, which is its "5K" protocol.
    n_hits : int, default=10
        How many of the first photographs to keep for each query, for `RetrievalReport.worst`.

    See Also
    --------
    RetrievalReport : What it returns.
    recall_scorer : The same figure for ``GridSearchCV`` and ``cross_val_score``.

    Examples
    --------
    Any index will do that has `ids_` and `score_factors`; here the score is the inner product.

    >>> import numpy as np
    >>> from txt2img.evaluation import RetrievalEvaluator
    >>> class Index:
    ...     ids_ = ["giraffe.jpg", "pizza.jpg", "tram.jpg"]
    ...     def score_factors(self, queries):
    ...         return queries, np.eye(3), None
    >>> predicted = [[0.9, 0.3, 0.1], [0.2, 0.5, 0.6]]
    >>> report = RetrievalEvaluator(ks=(1, 2)).evaluate(predicted, Index(), ["giraffe.jpg", "pizza.jpg"])
    >>> report.ranks
    array([1., 2.])
    >>> report.recall_at(1)
    0.5
    """

    def __init__(
        self,
        ks: Sequence[int] = (1, 2, 5, 10),
        *,
        direction: str = "text_to_photograph",
        n_folds: int | None = None,
        n_hits: int = 10,
    ) -> None:
        self.ks = ks
        self.direction = direction
        self.n_folds = n_folds
        self.n_hits = n_hits

    def evaluate(
        self,
        predicted: ArrayLike,
        index: Index,
        true_ids: Iterable[Hashable],
        *,
        confidence: ArrayLike | None = None,
        texts: Sequence[str] | None = None,
        columns: Mapping[str, Sequence[Any]] | None = None,
    ) -> RetrievalReport:
        """Search for every predicted descriptor and note where the right photograph comes.

        Parameters
        ----------
        predicted : array-like of shape (n_captions, n_features)
            Descriptors predicted from the captions.
        index : ImageIndex
            The photographs searched. More exactly, any object with the attribute `ids_` (sequence of
            ids) and the method ``score_factors(queries)``, which returns arrays ``(Q, G, bias)`` such
            that ``Q @ G.T + bias`` are the scores of all photographs in the order of `ids_`, greater
            being better, with `bias` of shape (n_gallery,) or None. If it has an attribute `bias_` that is
            not None, `bias` is a hubness correction, and hubness is measured without it too.
        true_ids : sequence of shape (n_captions,)
            Id of the right photograph of each caption.
        confidence : array-like of shape (n_captions,), default=None
            Stated probability that the first photograph is the right one, to be compared with what comes
            true.
        texts : sequence of str of shape (n_captions,), default=None
            The captions. They become the columns ``"text"`` and ``"n_words"`` of the report; where
            photographs ask, they are the ids of what comes.
        columns : dict of str to sequence of shape (n_captions,), default=None
            What else is known of the queries, such as their language, for `RetrievalReport.slices`.

        Returns
        -------
        RetrievalReport
            Ranks and the figures made of them. With folds, ``"fold"`` is a column.

        Notes
        -----
        Hubness is measured with as many of the queries as there are photographs, evenly spread, so that a
        photograph comes up 10 times on average; with folds it is the mean over them.

        The correction of hubs is of photographs. Where photographs ask, it does not count.

        Raises
        ------
        ValueError
            If `predicted` and `true_ids` differ in length, `predicted` holds NaN or infinite numbers, a
            true id is not in the index, `ks` are not whole numbers between 1 and the number of
            photographs, or what is known of captions is passed where photographs ask.
        """
        if self.direction not in DIRECTIONS:
            raise ValueError(f"direction is {self.direction!r}; it must be one of {DIRECTIONS}")
        ids = list(index.ids_)
        predicted, true_ids = finite_matrix(predicted, "predicted"), list(true_ids)
        if len(predicted) != len(true_ids):
            raise ValueError(
                f"predicted has {len(predicted)} rows but true_ids has {len(true_ids)} entries: "
                "pass the id of the right photograph of each query"
            )
        positions = _positions(true_ids, ids)
        texts = None if texts is None else _valid_texts(texts, len(true_ids))
        captions = self.direction == "text_to_photograph"
        if not captions and (columns or confidence is not None):
            raise ValueError(
                "columns or confidence are passed, which are of captions, but with direction="
                f"{self.direction!r} photographs ask: leave them out"
            )
        known = {name: list(column) for name, column in (columns or {}).items()}
        if captions and texts is not None:
            own: dict[str, list[Any]] = {"text": texts, "n_words": [len(text.split()) for text in texts]}
            known = own | known
        task = (captions_ask if captions else photographs_ask)(predicted, index, positions)
        folds = list(task.folds(self._valid_folds(len(ids)), len(ids)))
        sizes = [len(part.candidates) for _, part in folds]
        ks = _valid_ks(self.ks, min(sizes))
        found = [search(part, min(check_k(self.n_hits, name="n_hits"), *sizes)) for _, part in folds]

        order = np.argsort(np.concatenate([asked for asked, _ in folds]))
        n_asked = [len(asked) for asked, _ in folds]
        n_better, n_tied, n_right, hits, scores = (
            np.concatenate(parts)[order] for parts in list(zip(*found))[:5]
        )
        if self.n_folds is not None:
            known["fold"] = np.repeat(np.arange(len(folds)), n_asked)[order].tolist()
        return RetrievalReport(
            n_better,
            n_tied,
            ks=ks,
            n_gallery=max(sizes),
            true_ids=[ids[position] for position in task.photograph_of_query],
            hubness=float(np.mean([each.hubness for each in found])),
            hubness_uncorrected=(
                float(np.mean([each.hubness_uncorrected for each in found])) if task.is_corrected else None
            ),
            confidence=None if confidence is None else np.asarray(confidence, np.float64),
            columns=known,
            hit_ids=_as_objects(ids if captions else texts or range(len(true_ids)))[hits],
            hit_scores=scores,
            direction=self.direction,
            n_right=None if captions else n_right,
            n_answers=None if captions else np.diff(task.right.indptr),
            n_searched=np.repeat(sizes, n_asked)[order] if len(set(sizes)) > 1 else None,
        )

    def _valid_folds(self, n_photographs: int) -> int | None:
        if self.n_folds is None:
            return None
        n_folds = check_k(self.n_folds, name="n_folds")
        if n_folds > n_photographs:
            raise ValueError(
                f"n_folds is {n_folds} but there are only {n_photographs} photographs: pass fewer folds"
            )
        return n_folds


def _valid_ks(ks: Sequence[int], n_gallery: int) -> tuple[int, ...]:
    if isinstance(ks, str) or not np.iterable(ks) or len(ks := tuple(ks)) == 0:
        raise ValueError(f"ks is {ks!r}; it must be a sequence of whole numbers such as (1, 5, 10)")
    return tuple(check_k(k, n_gallery, name="an entry of ks") for k in ks)


def _positions(true_ids: list[Hashable], ids: list[Hashable]) -> Array:
    position = {photograph: row for row, photograph in enumerate(ids)}
    missing = list(dict.fromkeys(photograph for photograph in true_ids if photograph not in position))
    if missing:
        first = ", ".join(map(repr, missing[:3])) + (", ..." if len(missing) > 3 else "")
        raise ValueError(
            f"true_ids has {len(missing)} photographs that are not in the index: {first}; "
            "add them to the index, or leave their captions out"
        )
    return np.array([position[photograph] for photograph in true_ids], dtype=np.intp)


def _valid_texts(texts: Sequence[str], n_captions: int) -> list[str]:
    texts = list(texts)
    if len(texts) != n_captions:
        raise ValueError(f"texts has {len(texts)} entries but there are {n_captions} captions")
    return texts


def _as_objects(values: Sequence[Any]) -> Array:
    """Make an array of one dimension, whatever the values are."""
    array = np.empty(len(values), dtype=object)
    array[:] = list(values)
    return array
