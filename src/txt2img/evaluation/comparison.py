"""Whether one search is better than another, or was lucky."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from txt2img._grouping import photograph_of_caption
from txt2img._types import Array, Seed
from txt2img.evaluation.bootstrap import bootstrap_intervals, check_level
from txt2img.evaluation.ranks import check_k, found_within, mean_ranks, reciprocal_ranks
from txt2img.evaluation.readable import readable, readable_ends
from txt2img.evaluation.report import RetrievalReport
from txt2img.evaluation.table import Table

__all__ = ["compare"]

BLOCK_BYTES = 2**26


def compare(
    a: RetrievalReport,
    b: RetrievalReport,
    *,
    names: tuple[str, str] = ("a", "b"),
    level: float = 0.95,
    n_permutations: int = 10_000,
    n_resamples: int = 1000,
    random_state: Seed = 0,
) -> Table:
    """Compare two evaluations of the same queries among the same photographs.

    Parameters
    ----------
    a, b : RetrievalReport
        Evaluations with the same true ids in the same order.
    names : tuple of str, default=("a", "b")
        Names of the two.
    level : float, default=0.95
        Probability with which an interval is to hold the difference in the whole population.
    n_permutations : int, default=10_000
        Number of permutations.
    n_resamples : int, default=1000
        Number of bootstrap resamples.
    random_state : int, RandomState instance or None, default=0
        Source of chance.

    Returns
    -------
    Table
        One row a figure that is a mean over the queries: recall at the cut-offs `ks` that both have, mean
        rank and MRR. Columns are ``"figure"``, one for each name, ``"difference"`` (b - a), ``"low"`` and
        ``"high"`` (its interval, by a bootstrap over photographs) and ``"p_value"``.

    Raises
    ------
    ValueError
        If the reports are not of the same queries, or not among as many photographs.

    Notes
    -----
    The test is a paired permutation test. If both searches were equally good, it would not matter which of
    the two a photograph's ranks are from; they are exchanged at random, for all captions of a photograph
    together, since these succeed and fail together. The p-value is the share of such exchanges, the observed
    one included, that make a difference at least as large, in either direction. It holds for each figure by
    itself: whoever looks at many figures finds one below 0.05 by luck.

    References
    ----------
    M. D. Smucker, J. Allan, B. Carterette. A comparison of statistical significance tests for information
    retrieval evaluation. Conference on Information and Knowledge Management, 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from txt2img.evaluation import RetrievalReport, compare
    >>> photographs, ones = np.repeat(np.arange(30), 2), np.ones(60, int)
    >>> words = RetrievalReport(photographs % 10, ones, (1, 5), 100, photographs)
    >>> sentences = RetrievalReport(photographs % 2, ones, (1, 5), 100, photographs)
    >>> compare(words, sentences, names=("words", "sentences"))["p_value"][0] < 0.01
    True
    """
    check_level(level)
    check_k(n_permutations, name="n_permutations")
    check_k(n_resamples, name="n_resamples")
    _check_same_queries(a, b)
    ks = [k for k in a.ks if k in b.ks]
    before, after = (_values(report, ks) for report in (a, b))
    figures = [*(f"R@{k}" for k in ks), "mean_rank", "MRR"]
    difference = after - before
    low, high = bootstrap_intervals(
        difference, a.true_ids, level=level, n_resamples=n_resamples, random_state=random_state
    )
    columns = {
        "figure": figures,
        names[0]: before.mean(axis=0).tolist(),
        names[1]: after.mean(axis=0).tolist(),
        "difference": difference.mean(axis=0).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
        "p_value": _p_values(difference, a.true_ids, n_permutations, random_state),
    }
    return Table(
        columns, _shown(columns, names, level), title=f"{a.n_queries:,} queries, paired by photograph"
    )


def _shown(columns: dict[str, list[Any]], names: tuple[str, str], level: float) -> dict[str, list[str]]:
    figures = columns["figure"]

    def written(name: str, signed: bool = False) -> list[str]:
        return [readable(*pair, signed=signed) for pair in zip(figures, columns[name])]

    ends = zip(figures, zip(columns["low"], columns["high"]))
    return {
        "": [name.replace("_", " ") for name in figures],
        **{name: written(name) for name in names},
        "difference": written("difference", signed=True),
        f"{100 * level:g} % interval": [readable_ends(*pair, signed=True) for pair in ends],
        "p": [f"{p:.4f}" for p in columns["p_value"]],
    }


def _values(report: RetrievalReport, ks: Sequence[int]) -> Array:
    """Return what each figure averages, of shape (n_queries, n_figures)."""
    counts = report.n_better, report.n_tied
    found = [found_within(*counts, k, report.n_right) for k in ks]
    ranks = mean_ranks(*counts, report.n_right), reciprocal_ranks(*counts, report.n_right)
    return np.column_stack([*found, *ranks])


def _p_values(
    difference: Array, photographs: Iterable[Hashable], n_permutations: int, random_state: Seed
) -> list[float]:
    photograph = photograph_of_caption(len(difference), photographs)
    sums = np.column_stack([np.bincount(photograph, weights=column) for column in difference.T])
    # Sums of the same numbers in another order may differ by rounding.
    observed = np.abs(sums.sum(axis=0)) - 1e-9 * np.abs(sums).sum(axis=0)
    rng, as_large = check_random_state(random_state), np.zeros(sums.shape[1], np.intp)
    step = max(1, BLOCK_BYTES // (8 * len(sums)))
    for start in range(0, n_permutations, step):
        n_rows = min(step, n_permutations - start)
        signs = 1.0 - 2.0 * rng.randint(2, size=(n_rows, len(sums)))
        as_large += np.count_nonzero(np.abs(signs @ sums) >= observed, axis=0)
    return ((1 + as_large) / (1 + n_permutations)).tolist()


def _check_same_queries(a: RetrievalReport, b: RetrievalReport) -> None:
    if list(a.true_ids) != list(b.true_ids):
        raise ValueError(
            f"the reports are of {a.n_queries} and {b.n_queries} queries whose right photographs differ: "
            "evaluate both with the same captions in the same order"
        )
    if a.n_gallery != b.n_gallery or a.direction != b.direction:
        raise ValueError(
            f"the reports are of {a.n_gallery} and {b.n_gallery} candidates, {a.direction!r} and "
            f"{b.direction!r}: ranks compare only in galleries of one size and in one direction"
        )
