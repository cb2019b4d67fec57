"""Evaluation of a search whose right answers are known."""

import numpy as np
from sklearn.base import BaseEstimator

from txt2img.evaluation._blocks import finite_matrix
from txt2img.evaluation.hubness import k_occurrence, k_occurrence_skewness
from txt2img.evaluation.ranks import better_and_tied_blockwise, check_k
from txt2img.evaluation.report import RetrievalReport

__all__ = ["RetrievalEvaluator"]


class RetrievalEvaluator(BaseEstimator):
    """Find the rank of the right photograph of every query.

    Parameters
    ----------
    ks : sequence of int, default=(1, 2, 5, 10)
        Cut-offs of recall@k to report.

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

    def __init__(self, ks=(1, 2, 5, 10)):
        self.ks = ks

    def evaluate(self, predicted, index, true_ids, *, confidence=None):
        """Search for every predicted descriptor and note where the right photograph comes.

        Parameters
        ----------
        predicted : array-like of shape (n_queries, n_features)
            Descriptors predicted from the queries.
        index : ImageIndex
            The photographs searched. More exactly, any object with the attribute `ids_` (sequence of
            ids) and the method ``score_factors(queries)``, which returns arrays ``(Q, G, bias)`` such
            that ``Q @ G.T + bias`` are the scores of all photographs in the order of `ids_`, greater
            being better, with `bias` of shape (n_gallery,) or None. If it has an attribute `bias_` that is
            not None, `bias` is a hubness correction, and hubness is measured without it too.
        true_ids : sequence of shape (n_queries,)
            Id of the right photograph of each query.
        confidence : array-like of shape (n_queries,), default=None
            Stated probability that the first photograph is the right one, to be compared with what comes
            true.

        Returns
        -------
        RetrievalReport
            Ranks and the figures made of them.

        Notes
        -----
        Hubness is measured with as many of the queries as there are photographs, evenly spread, so that a
        photograph comes up 10 times on average.

        Raises
        ------
        ValueError
            If `predicted` and `true_ids` differ in length, `predicted` holds NaN or infinite numbers, a
            true id is not in the index, or `ks` are not whole numbers between 1 and the number of
            photographs.
        """
        ids = list(index.ids_)
        ks = _valid_ks(self.ks, len(ids))
        predicted, true_ids = finite_matrix(predicted, "predicted"), list(true_ids)
        if len(predicted) != len(true_ids):
            raise ValueError(
                f"predicted has {len(predicted)} rows but true_ids has {len(true_ids)} entries: "
                "pass the id of the right photograph of each query"
            )
        positions = _positions(true_ids, ids)
        queries, gallery, bias = index.score_factors(predicted)
        n_better, n_tied = better_and_tied_blockwise(queries, gallery, positions, bias=bias)
        corrected = getattr(index, "bias_", None) is not None
        return RetrievalReport(
            n_better,
            n_tied,
            ks=ks,
            n_gallery=len(ids),
            true_ids=true_ids,
            hubness=_hubness(queries, gallery, bias),
            hubness_uncorrected=_hubness(queries, gallery, None) if corrected else None,
            confidence=None if confidence is None else np.asarray(confidence, np.float64),
        )


def _hubness(queries, gallery, bias):
    n_queries = min(len(queries), len(gallery))
    spread = np.linspace(0, len(queries) - 1, n_queries).astype(np.intp)
    counts = k_occurrence(np.asarray(queries)[spread], gallery, min(10, len(gallery)), bias=bias)
    return k_occurrence_skewness(counts)


def _valid_ks(ks, n_gallery):
    if isinstance(ks, str) or not np.iterable(ks) or len(ks := tuple(ks)) == 0:
        raise ValueError(f"ks is {ks!r}; it must be a sequence of whole numbers such as (1, 5, 10)")
    return tuple(check_k(k, n_gallery, name="an entry of ks") for k in ks)


def _positions(true_ids, ids):
    position = {photograph: row for row, photograph in enumerate(ids)}
    missing = list(dict.fromkeys(photograph for photograph in true_ids if photograph not in position))
    if missing:
        first = ", ".join(map(repr, missing[:3])) + (", ..." if len(missing) > 3 else "")
        raise ValueError(
            f"true_ids has {len(missing)} photographs that are not in the index: {first}; "
            "add them to the index, or leave their captions out"
        )
    return np.array([position[photograph] for photograph in true_ids], dtype=np.intp)
