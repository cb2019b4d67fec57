"""Whether stated probabilities come true, bin by bin."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from txt2img._types import Array, Seed
from txt2img.evaluation.bootstrap import bootstrap_means
from txt2img.evaluation.calibration import expected_calibration_error
from txt2img.evaluation.displays._axes import BARS, CURVES, FAINT, axes_or_new, in_per_cent, legend, tidy
from txt2img.evaluation.ranks import check_k
from txt2img.evaluation.report import RetrievalReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CalibrationCurveDisplay"]


class CalibrationCurveDisplay:
    """Reliability diagram: what share of the answers is right, against how sure the search was of them.

    Made by `from_report`, `from_predictions` or `from_estimator`. Answers are put into bins of equal width by
    their probability. Points below the diagonal are answers of which the search is surer than it should be.
    The bars tell how many answers there are in each bin.

    Parameters
    ----------
    stated : ndarray of shape (n_bins,)
        Mean probability of the answers in each bin; NaN for a bin with too few answers.
    came_true : ndarray of shape (n_bins,)
        Share of them that are right; NaN for a bin with too few answers.
    share : ndarray of shape (n_bins,)
        Share of all answers that are in the bin.
    low, high : ndarray of shape (n_bins,), default=None
        Limits of the intervals of `came_true`.
    calibration_error : float, default=None
        `expected_calibration_error`, for the title.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The curve, after `plot`.
    ax_ : matplotlib Axes
        The axes, after `plot`.
    figure_ : matplotlib Figure
        The figure, after `plot`.

    References
    ----------
    A. Niculescu-Mizil, R. Caruana. Predicting good probabilities with supervised learning. ICML 2005.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from txt2img.evaluation import CalibrationCurveDisplay
    >>> display = CalibrationCurveDisplay.from_predictions(
    ...     [False, False, True, True],
    ...     [0.1, 0.3, 0.8, 0.9],
    ...     n_bins=2,
    ...     min_answers=2,
    ...     ax=Figure().subplots(),
    ... )
    >>> display.stated.round(2).tolist(), display.came_true.tolist()
    ([0.2, 0.85], [0.0, 1.0])
    """

    def __init__(
        self,
        stated: Array,
        came_true: Array,
        share: Array,
        *,
        low: Array | None = None,
        high: Array | None = None,
        calibration_error: float | None = None,
    ) -> None:
        self.stated = stated
        self.came_true = came_true
        self.share = share
        self.low = low
        self.high = high
        self.calibration_error = calibration_error

    @classmethod
    def from_report(cls, report: RetrievalReport, **options: Any) -> Self:
        """Draw the curve of a report.

        Parameters
        ----------
        report : RetrievalReport
            The evaluation, with `confidence`.
        **options : dict
            What `from_predictions` takes, `ax` among it.

        Returns
        -------
        CalibrationCurveDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the report knows no confidence.
        """
        if report.confidence is None:
            raise ValueError(
                "report.confidence is None: fit the search with calibration_share, or pass confidence= to "
                "RetrievalEvaluator.evaluate"
            )
        return cls.from_predictions(
            report.first_is_right, report.confidence, groups=report.true_ids, **options
        )

    @classmethod
    def from_estimator(
        cls, estimator: Any, photos: Any, captions: Sequence[Sequence[str]], **options: Any
    ) -> Self:
        """Draw the curve of a search.

        Parameters
        ----------
        estimator : TextImageSearch
            Fitted and calibrated.
        photos : sequence of photographs, or array of shape (n_photos, d)
            Photographs that `fit` has not seen.
        captions : sequence of length n_photos
            The sentences of each; every one is a query.
        **options : dict
            What `from_predictions` takes, `ax` among it.

        Returns
        -------
        CalibrationCurveDisplay
            The display, drawn.
        """
        return cls.from_report(estimator.evaluate(photos, captions, ks=(1,)), **options)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_prob: ArrayLike,
        *,
        groups: Iterable[Hashable] | None = None,
        n_bins: int = 10,
        min_answers: int = 10,
        level: float = 0.95,
        n_resamples: int = 1000,
        random_state: Seed = 0,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the curve of stated probabilities.

        Parameters
        ----------
        y_true : array-like of shape (n_queries,), dtype bool
            Whether the first photograph of each query is the right one.
        y_prob : array-like of shape (n_queries,)
            Stated probability of that, between 0 and 1.
        groups : sequence of shape (n_queries,), default=None
            Photograph that each query asks for, for the intervals; by default each query counts as
            independent of the others.
        n_bins : int, default=10
            Number of bins.
        min_answers : int, default=10
            Bins with fewer answers have no point on the curve, since a share of so few says little.
        level : float, default=0.95
            Level of the intervals, from a bootstrap over photographs.
        n_resamples : int, default=1000
            Number of bootstrap resamples.
        random_state : int, RandomState instance or None, default=0
            Source of chance.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        CalibrationCurveDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the lengths differ, or a probability does not lie between 0 and 1.
        """
        error = expected_calibration_error(y_prob, y_true)
        right, confidence = np.asarray(y_true, bool), np.asarray(y_prob, float)
        n_bins = check_k(n_bins, name="n_bins")
        in_bin = np.minimum((confidence * n_bins).astype(int), n_bins - 1)[:, None] == np.arange(n_bins)
        filled = in_bin.sum(axis=0) >= check_k(min_answers, name="min_answers")
        stated, came_true, low, high = np.full((4, n_bins), np.nan)
        stated[filled] = (in_bin * confidence[:, None]).sum(axis=0)[filled] / in_bin.sum(axis=0)[filled]
        came_true[filled] = (in_bin & right[:, None]).sum(axis=0)[filled] / in_bin.sum(axis=0)[filled]
        low[filled], high[filled] = _interval(
            in_bin[:, filled],
            right,
            np.arange(len(right)) if groups is None else groups,
            level,
            n_resamples=n_resamples,
            random_state=random_state,
        )
        display = cls(stated, came_true, in_bin.mean(axis=0), low=low, high=high, calibration_error=error)
        return display.plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        CalibrationCurveDisplay
            Itself, with `line_`, `ax_` and `figure_`.
        """
        ax = axes_or_new(ax, figsize=(5.2, 5))
        filled = np.isfinite(self.stated)
        ax.stairs(
            self.share,
            np.linspace(0, 1, len(self.share) + 1),
            fill=True,
            color=BARS,
            alpha=0.35,
            label="share of the answers",
        )
        ax.plot([0, 1], [0, 1], color=FAINT, linestyle="--", label="perfectly calibrated")
        if self.low is not None and self.high is not None:
            ax.vlines(self.stated, self.low, self.high, color=CURVES[0], linewidth=1.3)
        (self.line_,) = ax.plot(
            np.asarray(self.stated)[filled],
            np.asarray(self.came_true)[filled],
            color=CURVES[0],
            linewidth=2,
            marker="o",
            label="answers",
        )
        error = self.calibration_error
        title = None if error is None else f"expected calibration error {error:.3f}"
        tidy(ax, x_label="stated probability", y_label="share that is right", title=title)
        in_per_cent(ax.xaxis)
        ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        legend(ax, loc="upper left")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _interval(
    in_bin: Array, right: Array, groups: Iterable[Hashable], level: float, **resampling: Any
) -> Array:
    """Bootstrap the share of right answers in each bin over photographs."""
    n_bins = in_bin.shape[1]
    means = bootstrap_means(np.hstack([in_bin, in_bin & right[:, None]]), groups, **resampling)
    with np.errstate(invalid="ignore"):  # a resample may leave a bin empty
        shares = means[:, n_bins:] / means[:, :n_bins]
    return np.nanquantile(shares, [(1 - level) / 2, (1 + level) / 2], axis=0)
