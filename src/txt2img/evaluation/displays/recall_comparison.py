"""Recall of several models, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from txt2img._types import Array, Seed
from txt2img.evaluation.displays._axes import CURVES, INK, axes_or_new, legend_above, tidy
from txt2img.evaluation.displays._report_display import report_of_predictions
from txt2img.evaluation.report import RetrievalReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["RecallComparisonDisplay"]

WIDTH = 0.8  # of all bars of one k, in units of the distance between two k


class RecallComparisonDisplay:
    """Recall@k of several models side by side, with intervals and the level of chance.

    Made by `from_reports`, `from_predictions` or `from_estimators`. Each interval speaks of one model. That
    two of them overlap does not say that the models are equally good: they were asked the same questions.

    Parameters
    ----------
    names : list of str
        Names of the models.
    ks : sequence of int
        Numbers of photographs looked at.
    recall : ndarray of shape (n_models, n_ks)
        Recall@k, between 0 and 1.
    low, high : ndarrays of shape (n_models, n_ks)
        Limits of the intervals of recall.
    chance : sequence of shape (n_ks,)
        Recall@k of photographs in random order.

    Attributes
    ----------
    bars_ : list of matplotlib BarContainer
        The bars of each model, after `plot`.
    ax_ : matplotlib Axes
        The axes, after `plot`.
    figure_ : matplotlib Figure
        The figure, after `plot`.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from txt2img.evaluation import RecallComparisonDisplay, RetrievalReport
    >>> words = RetrievalReport(np.array([0, 1, 3]), np.ones(3, int), (1, 2), 4, ["a", "b", "c"])
    >>> sentences = RetrievalReport(np.array([0, 0, 1]), np.ones(3, int), (1, 2), 4, ["a", "b", "c"])
    >>> display = RecallComparisonDisplay.from_reports(
    ...     {"words": words, "sentences": sentences}, ks=(1, 2), ax=Figure().subplots()
    ... )
    >>> display.recall.round(2).tolist()
    [[0.33, 0.67], [0.67, 1.0]]
    """

    def __init__(
        self,
        names: Sequence[str],
        ks: Sequence[int],
        recall: Array,
        low: Array,
        high: Array,
        *,
        chance: Sequence[float],
    ) -> None:
        self.names = names
        self.ks = ks
        self.recall = recall
        self.low = low
        self.high = high
        self.chance = chance

    @classmethod
    def from_reports(
        cls,
        reports: Mapping[str, RetrievalReport],
        *,
        ks: Sequence[int] = (1, 5, 10),
        level: float = 0.95,
        n_resamples: int = 1000,
        random_state: Seed = 0,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the comparison of several reports.

        Parameters
        ----------
        reports : dict of str to RetrievalReport
            The evaluation of each model, over the same number of photographs.
        ks : sequence of int, default=(1, 5, 10)
            Numbers of photographs looked at.
        level : float, default=0.95
            Level of the intervals, as in `RetrievalReport.recall_interval`.
        n_resamples : int, default=1000
            Number of bootstrap resamples.
        random_state : int, RandomState instance or None, default=0
            Source of chance.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        RecallComparisonDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If there is no report, or they are of galleries of different sizes.
        """
        sizes = {name: report.n_gallery for name, report in reports.items()}
        if len(set(sizes.values())) != 1:
            raise ValueError(
                f"reports are of galleries of the sizes {sizes}: pass at least one report, and evaluate all "
                "models on the same photographs, since recall depends on their number"
            )
        recall = np.array([[report.recall_at(k) for k in ks] for report in reports.values()])
        limits = [report.recall_interval(ks, level, n_resamples, random_state) for report in reports.values()]
        low, high = np.swapaxes(limits, 0, 1)
        one = next(iter(reports.values()))
        chance = [one.chance_at(k) for k in ks]
        return cls(list(reports), ks, recall, low, high, chance=chance).plot(ax)

    @classmethod
    def from_predictions(cls, y_true: ArrayLike, y_pred: Mapping[str, ArrayLike], **options: Any) -> Self:
        """Draw it of descriptors predicted from captions by several models.

        Parameters
        ----------
        y_true : array-like of shape (n_captions, n_features)
            Descriptor of the photograph of each caption; captions with equal rows describe the same
            photograph. The distinct ones are searched, by the cosine.
        y_pred : dict of str to array-like of shape (n_captions, n_features)
            Descriptors that each model predicts.
        **options : dict
            What `from_reports` takes, `ax` among it.

        Returns
        -------
        RecallComparisonDisplay
            The display, drawn.
        """
        reports = {name: report_of_predictions(y_true, predicted) for name, predicted in y_pred.items()}
        return cls.from_reports(reports, **options)

    @classmethod
    def from_estimators(cls, estimators: Mapping[str, Any], X: Any, y: ArrayLike, **options: Any) -> Self:
        """Draw it of what several fitted estimators predict.

        Parameters
        ----------
        estimators : dict of str to fitted regressor or pipeline
            Each predicts descriptors from `X`.
        X : array-like of shape (n_captions, ...)
            Captions, or whatever the estimators take, which they have not been fitted to.
        y : array-like of shape (n_captions, n_features)
            Descriptor of the photograph of each caption.
        **options : dict
            What `from_reports` takes, `ax` among it.

        Returns
        -------
        RecallComparisonDisplay
            The display, drawn.
        """
        predicted = {name: estimator.predict(X) for name, estimator in estimators.items()}
        return cls.from_predictions(y, predicted, **options)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the comparison.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        RecallComparisonDisplay
            Itself, with `bars_`, `ax_` and `figure_`.
        """
        ax = axes_or_new(ax)
        groups, width = np.arange(len(self.ks)), WIDTH / len(self.names)
        self.bars_ = []
        for i, (name, recall, low, high) in enumerate(zip(self.names, self.recall, self.low, self.high)):
            x = groups - WIDTH / 2 + (i + 0.5) * width
            colour = CURVES[i % len(CURVES)]
            self.bars_.append(ax.bar(x, recall, 0.9 * width, color=colour, alpha=0.85, label=name))
            ax.vlines(x, low, high, color=INK, linewidth=1.3)
            for where, value, top in zip(x, recall, high):
                percent = f"{100 * value:.0f}"
                ax.annotate(
                    percent,
                    (where, top),
                    (0, 3),
                    textcoords="offset points",
                    ha="center",
                    color=INK,
                    fontsize=9,
                )
        ax.hlines(
            self.chance,
            groups - WIDTH / 2,
            groups + WIDTH / 2,
            color=INK,
            linestyle="--",
            linewidth=1.3,
            label="chance",
        )
        tidy(ax, x_label="", y_label="recall@k")
        ax.set_xticks(groups, [f"k = {k}" for k in self.ks])
        ax.tick_params(axis="x", length=0)
        ax.set_ylim(0, max(0.01, *np.ravel(self.high)) * 1.08)
        legend_above(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self
