"""Histogram of the ranks of the right photographs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from txt2img._types import Array
from txt2img.evaluation.displays._axes import (
    BARS,
    INK,
    axes_or_new,
    legend,
    log_spaced_ranks,
    scale_of_ranks,
    tidy,
)
from txt2img.evaluation.displays._report_display import ReportDisplay
from txt2img.evaluation.report import RetrievalReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["RankHistogramDisplay"]


class RankHistogramDisplay(ReportDisplay):
    """Histogram of the ranks of the right photographs, against chance.

    Made by `from_report`, `from_predictions` or `from_estimator`. The bins widen with the rank, as the
    attention of a reader fades: rank 1 and rank 2 have bins of their own.

    Parameters
    ----------
    edges : ndarray of shape (n_bins + 1,), dtype int
        Bin j holds the ranks from ``edges[j] + 1`` to ``edges[j + 1]``; the first edge is 0, the last
        the number of photographs.
    share : ndarray of shape (n_bins,)
        Share of the queries in each bin, between 0 and 1. A query with ties is spread over the ranks
        it may have.
    chance : ndarray of shape (n_bins,)
        Share of the queries in each bin if the photographs came in random order.
    title : str, default=None
        Title of the axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes, after `plot`.
    figure_ : matplotlib Figure
        The figure, after `plot`.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from txt2img.evaluation import RankHistogramDisplay, RetrievalReport
    >>> report = RetrievalReport(np.array([0, 1, 7]), np.ones(3, int), (1, 5, 10), 20, ["a", "b", "c"])
    >>> display = RankHistogramDisplay.from_report(report, ax=Figure().subplots())
    >>> display.title
    'R@1 33.3 %   R@5 66.7 %   R@10 100.0 %   median rank 2'
    """

    def __init__(self, edges: Array, share: Array, chance: Array, *, title: str | None = None) -> None:
        self.edges = edges
        self.share = share
        self.chance = chance
        self.title = title

    @classmethod
    def from_report(
        cls, report: RetrievalReport, *, bins_per_decade: int = 6, ax: Axes | None = None
    ) -> Self:
        """Draw the histogram of a report.

        Parameters
        ----------
        report : RetrievalReport
            The evaluation.
        bins_per_decade : int, default=6
            About how many bins a factor of ten in rank is divided into.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        RankHistogramDisplay
            The display, drawn.
        """
        ends = log_spaced_ranks(report.n_gallery, bins_per_decade)
        share, chance = (
            np.diff([recall(k) for k in ends], prepend=0) for recall in (report.recall_at, report.chance_at)
        )
        recalls = [f"R@{k} {100 * report.recall_at(k):.1f} %" for k in (1, 5, 10) if k <= report.n_gallery]
        title = "   ".join([*recalls, f"median rank {report.median_rank:,.4g}"])
        return cls(np.append(0, ends), share, chance, title=title).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the histogram.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        RankHistogramDisplay
            Itself, with `ax_` and `figure_`.
        """
        ax = axes_or_new(ax)
        sides = np.asarray(self.edges) + 0.5
        ax.stairs(self.share, sides, fill=True, color=BARS, label="queries")
        ax.vlines(sides[1:-1], 0, np.minimum(self.share[1:], self.share[:-1]), color="white", linewidth=1)
        ax.stairs(self.chance, sides, baseline=None, color=INK, linestyle="--", linewidth=1.3, label="chance")
        tidy(ax, x_label="rank of the right photograph", y_label="share of the queries", title=self.title)
        scale_of_ranks(ax, self.edges[-1])
        ax.set_xlim(sides[0], sides[-1])
        legend(ax, loc="upper center")
        self.ax_, self.figure_ = ax, ax.figure
        return self
