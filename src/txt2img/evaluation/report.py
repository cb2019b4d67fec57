"""What an evaluation found."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from txt2img._types import Array, Seed
from txt2img.evaluation.bootstrap import bootstrap_intervals, bootstrap_median_interval, check_level
from txt2img.evaluation.calibration import expected_calibration_error
from txt2img.evaluation.queries import queries_table
from txt2img.evaluation.ranks import (
    chance_levels,
    check_k,
    found_within,
    mean_rank,
    mean_ranks,
    mean_reciprocal_rank,
    median_rank,
    recall_at,
    reciprocal_ranks,
    retrieval_figures,
)
from txt2img.evaluation.slices import slice_labels, slices_table
from txt2img.evaluation.summary import summary_table, summary_text
from txt2img.evaluation.table import Table, to_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

    from txt2img.evaluation.displays import RankHistogramDisplay

__all__ = ["RetrievalReport"]

PER_QUERY = (
    "n_better",
    "n_tied",
    "confidence",
    "hit_ids",
    "hit_scores",
    "n_right",
    "n_answers",
    "n_searched",
)


@dataclass(frozen=True, eq=False, repr=False)
class RetrievalReport:
    """Ranks of the right photographs, and how good and how sure the figures made of them are.

    Printed, and in a notebook, it is a table of the figures with their intervals and the level of chance.

    Parameters
    ----------
    n_better : ndarray of shape (n_queries,), dtype int
        Number of photographs that score strictly better than the right one.
    n_tied : ndarray of shape (n_queries,), dtype int
        Number of photographs with the score of the right one, itself included.
    ks : tuple of int
        Cut-offs of recall@k to report.
    n_gallery : int
        Number of photographs searched; with folds of unequal size that of the largest.
    true_ids : sequence of shape (n_queries,)
        Id of the right photograph of each query.
    hubness : float, default=None
        Skewness of the 10-occurrence, see `k_occurrence_skewness`: the higher, the more a few photographs
        come up for everything. It is not known to a report that is not made by `RetrievalEvaluator`.
    hubness_uncorrected : float, default=None
        The same without the hubness correction of the index, if it has one.
    confidence : ndarray of shape (n_queries,), default=None
        Stated probability that the photograph that came first is the right one, if known.
    columns : dict of str to sequence of shape (n_queries,), default=None
        What else is known of the queries; ``"text"`` are their sentences.
    hit_ids, hit_scores : ndarrays of shape (n_queries, n_hits), default=None
        The first photographs that came for each query, and their scores.
    direction : {"text_to_photograph", "photograph_to_text"}, default="text_to_photograph"
        What asks for what. In the second, photographs are the queries, captions the gallery, the several
        captions of a photograph are right, and its rank is that of the best of them.
    n_right : ndarray of shape (n_queries,), dtype int, default=None
        How many of the tied ones are right; None for one each.
    n_answers : ndarray of shape (n_queries,), dtype int, default=None
        How many are right in the whole gallery; None for one each.
    n_searched : ndarray of shape (n_queries,), dtype int, default=None
        How many were searched for each query, if folds are of unequal size.

    Examples
    --------
    >>> import numpy as np
    >>> from txt2img.evaluation import RetrievalReport
    >>> report = RetrievalReport(
    ...     n_better=np.array([0, 0, 2, 7]),
    ...     n_tied=np.array([1, 1, 1, 1]),
    ...     ks=(1, 5),
    ...     n_gallery=100,
    ...     true_ids=["cat.jpg", "cat.jpg", "dog.jpg", "tram.jpg"],
    ... )
    >>> report.ranks
    array([1., 1., 3., 8.])
    >>> report.recall_at(5), report.chance_at(5)
    (0.75, 0.05)
    >>> report.subset(report.ranks > 1).median_rank
    5.5
    """

    n_better: Array
    n_tied: Array
    ks: tuple[int, ...]
    n_gallery: int
    true_ids: Sequence[Hashable] | Array
    hubness: float | None = None
    hubness_uncorrected: float | None = None
    confidence: Array | None = None
    columns: Mapping[str, Sequence[Any]] = None  # type: ignore[assignment]  # __post_init__ makes it {}
    hit_ids: Array | None = None
    hit_scores: Array | None = None
    direction: str = "text_to_photograph"
    n_right: Array | None = None
    n_answers: Array | None = None
    n_searched: Array | None = None

    def __post_init__(self) -> None:
        if self.columns is None:
            object.__setattr__(self, "columns", {})
        if not len(self.n_better) == len(self.n_tied) == len(self.true_ids):
            raise ValueError(
                f"n_better, n_tied and true_ids have {len(self.n_better)}, {len(self.n_tied)} and "
                f"{len(self.true_ids)} entries; each must have one a query"
            )
        if self.confidence is not None and len(self.confidence) != self.n_queries:
            raise ValueError(
                f"confidence has {len(self.confidence)} entries but there are {self.n_queries} queries"
            )
        for name, column in self.columns.items():
            if len(column) != self.n_queries:
                raise ValueError(
                    f"the column {name!r} has {len(column)} entries but there are {self.n_queries} queries"
                )

    @property
    def n_queries(self) -> int:
        """Number of queries."""
        return len(self.n_better)

    @property
    def ranks(self) -> Array:
        """Rank of the right photograph of each query, counted from 1; among ties its expectation."""
        return mean_ranks(self.n_better, self.n_tied, self.n_right)

    @property
    def median_rank(self) -> float:
        """Median of `ranks`."""
        return median_rank(self.n_better, self.n_tied, self.n_right)

    @property
    def mean_rank(self) -> float:
        """Mean of `ranks`."""
        return mean_rank(self.n_better, self.n_tied, self.n_right)

    @property
    def mrr(self) -> float:
        """Mean reciprocal rank."""
        return mean_reciprocal_rank(self.n_better, self.n_tied, self.n_right)

    @property
    def first_is_right(self) -> Array:
        """Whether a right photograph came first for each query, before all others."""
        return (self.n_better == 0) & (self.n_tied == (1 if self.n_right is None else self.n_right))

    @property
    def brier_score(self) -> float | None:
        """Mean squared difference between `confidence` and what came true; None without confidence."""
        if self.confidence is None:
            return None
        return float(np.mean((self.confidence - self.first_is_right) ** 2))

    @property
    def calibration_error(self) -> float | None:
        """`expected_calibration_error` of `confidence`; None without confidence."""
        if self.confidence is None:
            return None
        return expected_calibration_error(self.confidence, self.first_is_right)

    @property
    def chance(self) -> dict[str, float]:
        """The figures of `to_dict` for photographs in random order."""
        return self._chance(self.ks)

    @property
    def queries(self) -> Table:
        """Table of the queries: right photograph, rank, `columns`, and the first photographs that came."""
        return queries_table(self, range(self.n_queries))

    def recall_at(self, k: int) -> float:
        """Compute the share of queries whose right photograph is among the first k.

        Parameters
        ----------
        k : int
            Number of photographs looked at, at most `n_gallery`; it need not be one of `ks`.

        Returns
        -------
        float
            Between 0 and 1.
        """
        return recall_at(self.n_better, self.n_tied, check_k(k, self.n_gallery), self.n_right)

    def chance_at(self, k: int) -> float:
        """Compute recall@k for photographs in random order.

        Parameters
        ----------
        k : int
            Number of photographs looked at, at most `n_gallery`.

        Returns
        -------
        float
            Between 0 and 1: k / n_gallery, or more if several are right.
        """
        return self._chance([check_k(k, self.n_gallery)])[f"R@{k}"]

    @overload
    def recall_interval(
        self, k: int, level: float = ..., n_resamples: int = ..., random_state: Seed = ...
    ) -> tuple[float, float]: ...

    @overload
    def recall_interval(
        self, k: Sequence[int] | Array, level: float = ..., n_resamples: int = ..., random_state: Seed = ...
    ) -> tuple[Array, Array]: ...

    def recall_interval(
        self,
        k: int | Sequence[int] | Array,
        level: float = 0.95,
        n_resamples: int = 1000,
        random_state: Seed = 0,
    ) -> tuple[float, float] | tuple[Array, Array]:
        """Say how sure recall@k is, given that other photographs might have been drawn.

        Parameters
        ----------
        k : int or sequence of int
            Number of photographs looked at, at most `n_gallery`.
        level : float, default=0.95
            Probability with which the interval is to hold the recall of the whole population.
        n_resamples : int, default=1000
            Number of bootstrap resamples.
        random_state : int, RandomState instance or None, default=0
            Source of chance.

        Returns
        -------
        low, high : float, or ndarrays of one float each k
            Limits by `bootstrap_intervals` over photographs: the captions of one photograph are drawn
            together, since they succeed and fail together.

        Notes
        -----
        The size of the gallery is taken as given: with more photographs to search, recall is lower. Where all
        queries succeed or all fail, resampling says nothing, and the interval is the exact one of as many
        independent observations as there are photographs (Clopper and Pearson, 1934).
        """
        check_level(level)
        check_k(n_resamples, name="n_resamples")
        ks = [check_k(each, self.n_gallery) for each in np.atleast_1d(k).tolist()]
        found = np.column_stack([found_within(self.n_better, self.n_tied, each, self.n_right) for each in ks])
        low, high = bootstrap_intervals(
            found, self.true_ids, level=level, n_resamples=n_resamples, random_state=random_state
        )
        furthest = ((1 - level) / 2) ** (1 / len(set(self.true_ids)))
        low = np.where((found == 1).all(axis=0), furthest, low)
        high = np.where((found == 0).all(axis=0), 1 - furthest, high)
        return (low, high) if np.ndim(k) else (float(low[0]), float(high[0]))

    def intervals(
        self, level: float = 0.95, n_resamples: int = 1000, random_state: Seed = 0
    ) -> dict[str, tuple[float, float]]:
        """Say how sure all the figures are, as `recall_interval` does of recall.

        Parameters
        ----------
        level : float, default=0.95
            Probability with which an interval is to hold the figure of the whole population.
        n_resamples : int, default=1000
            Number of bootstrap resamples.
        random_state : int, RandomState instance or None, default=0
            Source of chance.

        Returns
        -------
        dict of str to tuple of float
            Low and high limit of each figure of `to_dict`; NaN with a single photograph.
        """
        options: dict[str, Any] = {"level": level, "n_resamples": n_resamples, "random_state": random_state}
        recalls = zip(*(ends.tolist() for ends in self.recall_interval(self.ks, **options)))
        counts = self.n_better, self.n_tied, self.n_right
        means = np.column_stack([self.ranks, reciprocal_ranks(*counts)])
        low, high = bootstrap_intervals(means, self.true_ids, **options)
        return {f"R@{k}": ends for k, ends in zip(self.ks, recalls)} | {
            "median_rank": bootstrap_median_interval(self.ranks, self.true_ids, **options),
            "mean_rank": (float(low[0]), float(high[0])),
            "MRR": (float(low[1]), float(high[1])),
        }

    def subset(self, queries: Sequence[int] | Array) -> RetrievalReport:
        """Make the report of some of the queries.

        Parameters
        ----------
        queries : ndarray of shape (n_queries,), dtype bool, or sequence of int
            Which queries.

        Returns
        -------
        RetrievalReport
            Report of these; it does not know hubness.
        """
        rows = np.arange(self.n_queries)[np.asarray(queries)]
        if not len(rows):
            raise ValueError("queries names no query: a report needs at least one")
        arrays = {name: getattr(self, name) for name in PER_QUERY}
        return replace(
            self,
            true_ids=[self.true_ids[row] for row in rows],
            columns={name: [column[row] for row in rows] for name, column in self.columns.items()},
            hubness=None,
            hubness_uncorrected=None,
            **{name: np.asarray(value)[rows] for name, value in arrays.items() if value is not None},
        )

    def slices(
        self,
        by: str | Sequence[Any] | Array,
        *,
        bins: int | None = None,
        level: float = 0.95,
        n_resamples: int = 1000,
        random_state: Seed = 0,
    ) -> Table:
        """Tell the figures of every part of the queries.

        Parameters
        ----------
        by : str or sequence of shape (n_queries,)
            What the queries are parted by: the name of one of `columns`, or values.
        bins : int, default=None
            Numbers of more than `bins` different values are parted into so many bins, each with about as many
            queries; by default those of more than 10 into 4.
        level : float, default=0.95
            Probability with which an interval is to hold the figure of the whole population.
        n_resamples : int, default=1000
            Number of bootstrap resamples.
        random_state : int, RandomState instance or None, default=0
            Source of chance.

        Returns
        -------
        Table
            One row a part. Columns are the name of `by`, ``"queries"``, ``"photographs"`` (how many different
            ones are asked for) and, for each figure of `to_dict`, its value, ``"NAME low"`` and
            ``"NAME high"``.
        """
        name, values = (by, self._column(by)) if isinstance(by, str) else ("part", list(by))
        if len(values) != self.n_queries:
            raise ValueError(f"by has {len(values)} entries but there are {self.n_queries} queries")
        options: dict[str, Any] = {"level": level, "n_resamples": n_resamples, "random_state": random_state}
        parts = slice_labels(values, None if bins is None else check_k(bins, name="bins"))
        return slices_table(name, {label: self.subset(chosen) for label, chosen in parts}, options)

    def worst(self, n: int = 10, *, n_hits: int = 3) -> Table:
        """List the queries whose right photograph came last, and what came first instead.

        Parameters
        ----------
        n : int, default=10
            Number of queries.
        n_hits : int, default=3
            Number of photographs told for each, at most as many as the evaluator kept.

        Returns
        -------
        Table
            One row a query, the worst first, with the columns of `queries`.
        """
        order = np.argsort(-self.ranks, kind="stable")[: check_k(n, name="n")]
        return queries_table(self, order.tolist(), n_hits)

    def to_dict(self) -> dict[str, float]:
        """Collect the figures.

        Returns
        -------
        dict of str to float
            ``"R@k"`` for each of `ks` (fractions, 0 to 1), ``"median_rank"``, ``"mean_rank"``, ``"MRR"``.
        """
        return retrieval_figures(self.n_better, self.n_tied, self.ks, self.n_right)

    def to_frame(self) -> DataFrame:
        """Make a DataFrame of the queries, with the columns of `queries`.

        Returns
        -------
        pandas.DataFrame
            One row a query; nothing is escaped or left out. Needs pandas.
        """
        return self.queries.to_frame()

    def to_json(self, *, queries: bool = False) -> str:
        """Write the figures as JSON.

        Parameters
        ----------
        queries : bool, default=False
            Whether to write the table of the queries, too.

        Returns
        -------
        str
            Object with the numbers of queries and photographs, and the figures, intervals and chance.
        """
        data = {
            "direction": self.direction,
            "n_queries": self.n_queries,
            "n_gallery": self.n_gallery,
            "figures": self.to_dict(),
            "intervals": self.intervals(),
            "chance": self.chance,
            "hubness": self.hubness,
            "hubness_uncorrected": self.hubness_uncorrected,
            "calibration_error": self.calibration_error,
            "brier_score": self.brier_score,
        }
        return to_json(data | ({"queries": self.queries.columns} if queries else {}))

    def to_markdown(self) -> str:
        """Write the figures, their intervals and the level of chance as a Markdown table.

        Returns
        -------
        str
            Table, recall in per cent.
        """
        return summary_table(self).to_markdown()

    def to_latex(self) -> str:
        """Write the figures, their intervals and the level of chance as a LaTeX table.

        Returns
        -------
        str
            A ``tabular`` with the rules of the package booktabs, recall in per cent.
        """
        return summary_table(self).to_latex()

    def plot(self, ax: Axes | None = None) -> RankHistogramDisplay:
        """Draw the histogram of ranks against chance.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        RankHistogramDisplay
            The display, with the attributes `ax_` and `figure_`.
        """
        from txt2img.evaluation.displays import RankHistogramDisplay

        return RankHistogramDisplay.from_report(self, ax=ax)

    def __str__(self) -> str:
        return summary_text(self)

    def __repr__(self) -> str:
        figures = ", ".join(f"{name}={value:.4g}" for name, value in self.to_dict().items())
        return f"RetrievalReport(n_queries={self.n_queries}, n_gallery={self.n_gallery}, {figures})"

    def _repr_html_(self) -> str:
        return summary_table(self).to_html()

    def _chance(self, ks: Sequence[int]) -> dict[str, float]:
        n_searched = self.n_gallery if self.n_searched is None else self.n_searched
        return chance_levels(n_searched, ks, self.n_answers)

    def _column(self, name: str) -> list[Any]:
        if name not in self.columns:
            known = ", ".join(map(repr, self.columns)) or "none: pass texts or columns to the evaluation"
            raise ValueError(f"by is {name!r}, which is not a column of the queries; there are {known}")
        return list(self.columns[name])
