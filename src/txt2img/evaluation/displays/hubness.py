"""How often each photograph comes up, with the correction of hubs and without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr

from txt2img._types import Array
from txt2img.evaluation._search import Index
from txt2img.evaluation.displays._axes import CURVES, INK, axes_or_new, legend_above, tidy
from txt2img.evaluation.hubness import k_occurrence, k_occurrence_skewness

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["HubnessDisplay"]


class HubnessDisplay:
    """Histogram of how often each photograph is among the first k, before and after the correction of hubs.

    Made by `from_index` or `from_estimator`. The bins double in width. Without hubs nearly all photographs
    are near the mean; hubs make a long tail to the right, and with it many photographs that never come up.

    Parameters
    ----------
    counts : ndarray of shape (n_gallery,), dtype int
        How often each photograph is among the first `k`, from `k_occurrence`.
    uncorrected : ndarray of shape (n_gallery,), dtype int, default=None
        The same without the correction of hubs, if there is one.
    k : int, default=10
        Length of the lists.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes, after `plot`.
    figure_ : matplotlib Figure
        The figure, after `plot`.

    See Also
    --------
    txt2img.evaluation.k_occurrence_skewness : The figure in the legend.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from txt2img.evaluation import HubnessDisplay
    >>> display = HubnessDisplay([1, 1, 2, 0], [0, 0, 4, 0], k=1).plot(Figure().subplots())
    >>> [text.get_text() for text in display.ax_.get_legend().get_texts()]
    ['by chance', 'uncorrected, skewness 1.15', 'corrected, skewness 0.00']
    """

    def __init__(self, counts: ArrayLike, uncorrected: ArrayLike | None = None, *, k: int = 10) -> None:
        self.counts = counts
        self.uncorrected = uncorrected
        self.k = k

    @classmethod
    def from_index(cls, index: Index, predicted: ArrayLike, *, k: int = 10, ax: Axes | None = None) -> Self:
        """Draw how often the photographs of an index come up.

        Parameters
        ----------
        index : ImageIndex
            The photographs searched, or what else `RetrievalEvaluator.evaluate` takes as index.
        predicted : array-like of shape (n_queries, n_features)
            Descriptors predicted from the queries. Of more queries than photographs as many are taken as
            there are photographs, evenly spread, so that a photograph comes up `k` times on average.
        k : int, default=10
            Length of the lists, at most the number of photographs.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        HubnessDisplay
            The display, drawn.
        """
        queries, gallery, bias = index.score_factors(np.asarray(predicted))
        n_queries = min(len(queries), len(gallery))
        queries = queries[np.linspace(0, len(queries) - 1, n_queries).astype(int)]
        counts = k_occurrence(queries, gallery, k, bias=bias)
        corrected = getattr(index, "bias_", None) is not None
        return cls(counts, k_occurrence(queries, gallery, k) if corrected else None, k=k).plot(ax)

    @classmethod
    def from_estimator(
        cls, estimator: Any, sentences: Sequence[str], *, k: int = 10, ax: Axes | None = None
    ) -> Self:
        """Draw how often the photographs in the gallery of a search come up.

        Parameters
        ----------
        estimator : TextImageSearch
            Fitted, with photographs in its gallery.
        sentences : list of str
            Queries.
        k : int, default=10
            Length of the lists, at most the number of photographs.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        HubnessDisplay
            The display, drawn.
        """
        return cls.from_index(estimator.index_, estimator.predict(sentences), k=k, ax=ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the histogram.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        HubnessDisplay
            Itself, with `ax_` and `figure_`.
        """
        ax = axes_or_new(ax)
        if self.uncorrected is None:
            all_counts = {"queries": np.asarray(self.counts)}
        else:
            all_counts = {"uncorrected": np.asarray(self.uncorrected), "corrected": np.asarray(self.counts)}
        ends = _doubling(max(counts.max() for counts in all_counts.values()))
        places, width = np.arange(len(ends)), 0.8 / len(all_counts)
        for i, (name, counts) in enumerate(all_counts.items()):
            ax.bar(
                places - 0.4 + (i + 0.5) * width,
                _shares(np.bincount(counts), ends),
                0.95 * width,
                color=CURVES[len(all_counts) - 1 - i],
                alpha=0.85,
                label=f"{name}, skewness {k_occurrence_skewness(counts):.2f}",
            )
        ax.hlines(
            self._by_chance(ends),
            places - 0.4,
            places + 0.4,
            color=INK,
            linestyle="--",
            linewidth=1.3,
            label="by chance",
        )
        tidy(ax, x_label=f"times among the first {self.k}", y_label="share of the photographs")
        ax.set_xticks(places, _ranges(ends))
        ax.tick_params(axis="x", length=0)
        legend_above(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _by_chance(self, ends: Array) -> Array:
        """Return the shares of the bins if all lists were drawn at random."""
        n_queries = np.sum(self.counts) // self.k
        within = bdtr(np.minimum(ends, n_queries), n_queries, self.k / np.size(self.counts))
        return np.diff(within, prepend=0)


def _doubling(largest: int) -> Array:
    """Return the last counts of the bins: 0, 1, 2, 4, 8, ..."""
    return np.append(0, 2 ** np.arange(np.ceil(np.log2(max(1, largest))) + 1)).astype(int)


def _ranges(ends: Array) -> list[str]:
    """Write the counts that each bin holds."""
    firsts = np.append(0, ends[:-1] + 1)
    return [f"{last}" if first == last else f"{first}–{last}" for first, last in zip(firsts, ends)]


def _shares(n_photographs: Array, ends: Array) -> Array:
    """Sum the photographs that have each count over the bins."""
    within = np.cumsum(n_photographs) / np.sum(n_photographs)
    return np.diff(within[np.minimum(ends, len(within) - 1)], prepend=0)
