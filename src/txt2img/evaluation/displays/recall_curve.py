"""Recall against the number of photographs looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from txt2img._types import Array, Seed
from txt2img.evaluation.displays._axes import (
    FAINT,
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

__all__ = ["RecallCurveDisplay"]


class RecallCurveDisplay(ReportDisplay):
    """Recall@k against k, with its uncertainty and the line of chance.

    Made by `from_report`, `from_predictions` or `from_estimator`. Give the axes of one display to the next
    to compare several models.

    Parameters
    ----------
    ks : ndarray of shape (n_points,), dtype int
        Numbers of photographs looked at.
    recall : ndarray of shape (n_points,)
        Recall@k, between 0 and 1.
    chance : ndarray of shape (n_points,)
        Recall@k of photographs in random order.
    low, high : ndarray of shape (n_points,), default=None
        Limits of the intervals of recall.
    name : str, default=None
        Name of the model, for the legend.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The curve, after `plot`.
    band_ : matplotlib collection or None
        The band between `low` and `high`, after `plot`.
    chance_line_ : matplotlib Line2D or None
        The line of chance, after `plot`.
    ax_ : matplotlib Axes
        The axes, after `plot`.
    figure_ : matplotlib Figure
        The figure, after `plot`.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from txt2img.evaluation import RecallCurveDisplay, RetrievalReport
    >>> report = RetrievalReport(np.array([0, 1, 3]), np.ones(3, int), (1, 2), 4, ["a", "b", "c"])
    >>> better = RetrievalReport(np.array([0, 0, 1]), np.ones(3, int), (1, 2), 4, ["a", "b", "c"])
    >>> display = RecallCurveDisplay.from_report(report, name="words", ax=Figure().subplots())
    >>> display = RecallCurveDisplay.from_report(
    ...     better, name="sentences", plot_chance_level=False, ax=display.ax_
    ... )
    >>> [text.get_text() for text in display.ax_.get_legend().get_texts()]
    ['words', 'chance', 'sentences']
    """

    def __init__(
        self,
        ks: Array,
        recall: Array,
        chance: Array,
        *,
        low: Array | None = None,
        high: Array | None = None,
        name: str | None = None,
    ) -> None:
        self.ks = ks
        self.recall = recall
        self.chance = chance
        self.low = low
        self.high = high
        self.name = name

    @classmethod
    def from_report(
        cls,
        report: RetrievalReport,
        *,
        level: float = 0.95,
        n_resamples: int = 1000,
        random_state: Seed = 0,
        name: str | None = None,
        plot_chance_level: bool = True,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the curve of a report.

        Parameters
        ----------
        report : RetrievalReport
            The evaluation.
        level : float, default=0.95
            Level of the band, as in `RetrievalReport.recall_interval`. It holds at each k by itself.
        n_resamples : int, default=1000
            Number of bootstrap resamples.
        random_state : int, RandomState instance or None, default=0
            Source of chance.
        name : str, default=None
            Name of the model, for the legend.
        plot_chance_level : bool, default=True
            Whether to draw the line of chance.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        RecallCurveDisplay
            The display, drawn.
        """
        ks = log_spaced_ranks(report.n_gallery, per_decade=20)
        low, high = report.recall_interval(ks, level, n_resamples, random_state)
        recall, chance = np.array([(report.recall_at(k), report.chance_at(k)) for k in ks]).T
        display = cls(ks, recall, chance, low=low, high=high, name=name)
        return display.plot(ax, plot_chance_level=plot_chance_level)

    def plot(self, ax: Axes | None = None, *, plot_chance_level: bool = True) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.
        plot_chance_level : bool, default=True
            Whether to draw the line of chance.

        Returns
        -------
        RecallCurveDisplay
            Itself, with `line_`, `band_`, `chance_line_`, `ax_` and `figure_`.
        """
        ax = axes_or_new(ax)
        (self.line_,) = ax.plot(self.ks, self.recall, linewidth=2, label=self.name or "recall@k")
        self.band_ = self.chance_line_ = None
        if self.low is not None and self.high is not None:
            self.band_ = ax.fill_between(
                self.ks, self.low, self.high, color=self.line_.get_color(), alpha=0.18, linewidth=0
            )
        if plot_chance_level:
            (self.chance_line_,) = ax.plot(self.ks, self.chance, color=FAINT, linestyle="--", label="chance")
        tidy(ax, x_label="photographs looked at, k", y_label="recall@k")
        scale_of_ranks(ax, self.ks[-1])
        ax.margins(x=0)
        ax.set_ylim(0, 1)
        legend(ax, loc="upper left")
        self.ax_, self.figure_ = ax, ax.figure
        return self
