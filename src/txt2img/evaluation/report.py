"""What an evaluation found."""

from dataclasses import dataclass

import numpy as np

from txt2img.evaluation.bootstrap import bootstrap_means
from txt2img.evaluation.calibration import expected_calibration_error
from txt2img.evaluation.ranks import (
    chance_levels,
    check_k,
    found_within,
    mean_rank,
    mean_ranks,
    mean_reciprocal_rank,
    median_rank,
    recall_at,
    retrieval_figures,
)

__all__ = ["RetrievalReport"]


@dataclass(frozen=True, eq=False, repr=False)
class RetrievalReport:
    """Ranks of the right photographs, and how good and how sure the figures made of them are.

    Printed, it is a table of the figures with their intervals and the level of chance.

    Parameters
    ----------
    n_better : ndarray of shape (n_queries,), dtype int
        Number of photographs that score strictly better than the right one.
    n_tied : ndarray of shape (n_queries,), dtype int
        Number of photographs with the score of the right one, itself included.
    ks : tuple of int
        Cut-offs of recall@k to report.
    n_gallery : int
        Number of photographs searched.
    true_ids : sequence of shape (n_queries,)
        Id of the right photograph of each query.
    hubness : float, default=None
        Skewness of the 10-occurrence, see `k_occurrence_skewness`: the higher, the more a few photographs
        come up for everything. It is not known to a report that is not made by `RetrievalEvaluator`.
    hubness_uncorrected : float, default=None
        The same without the hubness correction of the index, if it has one.
    confidence : ndarray of shape (n_queries,), default=None
        Stated probability that the photograph that came first is the right one, if known.

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
    >>> report.recall_at(5)
    0.75
    >>> print(report.to_markdown())
    | | found | chance |
    | :--- | ---: | ---: |
    | R@1 | 50.0 % | 1.0 % |
    | R@5 | 75.0 % | 5.0 % |
    | median rank | 2.0 | 50.5 |
    | mean rank | 3.2 | 50.5 |
    | MRR | 0.615 | 0.052 |
    """

    n_better: np.ndarray
    n_tied: np.ndarray
    ks: tuple
    n_gallery: int
    true_ids: list
    hubness: float | None = None
    hubness_uncorrected: float | None = None
    confidence: np.ndarray | None = None

    def __post_init__(self):
        if not len(self.n_better) == len(self.n_tied) == len(self.true_ids):
            raise ValueError(
                f"n_better, n_tied and true_ids have {len(self.n_better)}, {len(self.n_tied)} and "
                f"{len(self.true_ids)} entries; each must have one a query"
            )
        if self.confidence is not None and len(self.confidence) != self.n_queries:
            raise ValueError(
                f"confidence has {len(self.confidence)} entries but there are {self.n_queries} queries"
            )

    @property
    def n_queries(self):
        """Number of queries."""
        return len(self.n_better)

    @property
    def ranks(self):
        """Rank of the right photograph of each query, counted from 1; among ties the mean."""
        return mean_ranks(self.n_better, self.n_tied)

    @property
    def median_rank(self):
        """Median of `ranks`."""
        return median_rank(self.n_better, self.n_tied)

    @property
    def mean_rank(self):
        """Mean of `ranks`."""
        return mean_rank(self.n_better, self.n_tied)

    @property
    def mrr(self):
        """Mean reciprocal rank."""
        return mean_reciprocal_rank(self.n_better, self.n_tied)

    @property
    def first_is_right(self):
        """Whether the right photograph of each query came first, before all others."""
        return (self.n_better == 0) & (self.n_tied == 1)

    @property
    def brier_score(self):
        """Mean squared difference between `confidence` and what came true; None without confidence."""
        if self.confidence is None:
            return None
        return float(np.mean((self.confidence - self.first_is_right) ** 2))

    @property
    def calibration_error(self):
        """`expected_calibration_error` of `confidence`; None without confidence."""
        if self.confidence is None:
            return None
        return expected_calibration_error(self.confidence, self.first_is_right)

    @property
    def chance(self):
        """The figures of `to_dict` for photographs in random order."""
        return chance_levels(self.n_gallery, self.ks)

    def recall_at(self, k):
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
        return recall_at(self.n_better, self.n_tied, check_k(k, self.n_gallery))

    def recall_interval(self, k, level=0.95, n_resamples=1000, random_state=0):
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
            Percentile interval of a bootstrap over photographs: the captions of one photograph are
            drawn together, since they succeed and fail together.

        Notes
        -----
        The size of the gallery is taken as given: with more photographs to search, recall is lower. An
        observed recall of exactly 0 or 1 has an interval of no width, as with every bootstrap.
        """
        if not 0 < level < 1:
            raise ValueError(f"level is {level!r}; it must lie between 0 and 1, for example 0.95")
        check_k(n_resamples, name="n_resamples")
        ks = [check_k(each, self.n_gallery) for each in np.atleast_1d(k)]
        found = np.column_stack([found_within(self.n_better, self.n_tied, each) for each in ks])
        means = bootstrap_means(found, self.true_ids, n_resamples=n_resamples, random_state=random_state)
        low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return (low, high) if np.ndim(k) else (float(low[0]), float(high[0]))

    def to_dict(self):
        """Collect the figures.

        Returns
        -------
        dict of str to float
            ``"R@k"`` for each of `ks` (fractions, 0 to 1), ``"median_rank"``, ``"mean_rank"``, ``"MRR"``.
        """
        return retrieval_figures(self.n_better, self.n_tied, self.ks)

    def to_markdown(self):
        """Write the figures and the level of chance as a Markdown table.

        Returns
        -------
        str
            Table, recall in per cent.
        """
        found, chance = _readable(self.to_dict()), _readable(self.chance)
        lines = ["| | found | chance |", "| :--- | ---: | ---: |"]
        return "\n".join(lines + [f"| {name} | {found[name]} | {chance[name]} |" for name in found])

    def plot(self, ax=None):
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

    def __str__(self):
        found, chance = _readable(self.to_dict()), _readable(self.chance)
        intervals = {
            f"R@{k}": f"{100 * low:.1f} to {100 * high:.1f} %"
            for k, low, high in zip(self.ks, *self.recall_interval(self.ks))
        }
        lines = [
            f"{self.n_queries:,} queries, {self.n_gallery:,} photographs",
            f"{'':12}{'found':>10}{'95 % interval':>18}{'chance':>10}",
        ]
        lines += [
            f"{name:12}{found[name]:>10}{intervals.get(name, ''):>18}{chance[name]:>10}" for name in found
        ]
        if self.hubness is not None:
            lines.append(f"{'hubness':12}{self.hubness:>10.2f}")
        if self.hubness_uncorrected is not None:
            lines[-1] += f"{f'{self.hubness_uncorrected:.2f} uncorrected':>28}"
        if self.confidence is not None:
            lines.append(
                f"{'confidence':12}{_percent(np.mean(self.confidence)):>10}"
                f"    calibration error {self.calibration_error:.3f}, Brier score {self.brier_score:.3f}"
            )
        return "\n".join(lines)

    def __repr__(self):
        figures = ", ".join(f"{name}={value:.4g}" for name, value in self.to_dict().items())
        return f"RetrievalReport(n_queries={self.n_queries}, n_gallery={self.n_gallery}, {figures})"


def _percent(share):
    return f"{100 * share:.1f} %"


def _readable(figures):
    """Round for the eye: recall in per cent, ranks to one decimal."""
    return {
        name.replace("_", " "): (
            _percent(value) if name.startswith("R@") else f"{value:.3f}" if name == "MRR" else f"{value:,.1f}"
        )
        for name, value in figures.items()
    }
