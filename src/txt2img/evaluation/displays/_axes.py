"""What all the displays share: colours, a fresh pair of axes, and the cut-offs along a scale of ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from txt2img._optional import import_optional
from txt2img._types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.legend import Legend

INK = "#2b2f36"
FAINT = "#8a9099"
BARS = "#86aac4"
CURVES = ("#33658a", "#d08c60", "#5b8e7d", "#9a6a9e", "#b5a642", "#7a7f87")


def axes_or_new(ax: Axes | None, figsize: tuple[float, float] = (7, 4.2)) -> Axes:
    """Return `ax`, or the axes of a new pyplot figure in the style of the displays."""
    if ax is None:
        pyplot = import_optional("matplotlib.pyplot", extra="plot", purpose="Plotting")
        _, ax = pyplot.subplots(figsize=figsize, layout="constrained")
        ax.set_prop_cycle(color=CURVES)
    return ax


def tidy(ax: Axes, *, x_label: str, y_label: str, title: str | None = None) -> None:
    """Name the axes, set per cent upwards, and take away what is not needed."""
    in_per_cent(ax.yaxis)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(FAINT)
    ax.tick_params(color=FAINT, labelcolor=INK)
    ax.grid(axis="y", color=FAINT, alpha=0.2, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.set_xlabel(x_label, color=INK)
    ax.set_ylabel(y_label, color=INK)
    if title:
        ax.set_title(title, color=INK, fontsize="medium", loc="left", pad=14)


def in_per_cent(axis: Axis) -> None:
    """Write the shares along an axis in per cent."""
    ticker = import_optional("matplotlib.ticker", extra="plot", purpose="Plotting")
    axis.set_major_formatter(ticker.FuncFormatter(lambda share, _: f"{100 * share:.4g} %"))


def scale_of_ranks(ax: Axes, n_gallery: int) -> None:
    """Set a logarithmic scale of ranks along the x axis."""
    ticker = import_optional("matplotlib.ticker", extra="plot", purpose="Plotting")
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if n_gallery <= 2000 else (1,)))
    ax.xaxis.set_major_formatter(ticker.FuncFormatter(lambda rank, _: f"{rank:,.0f}" if rank >= 1 else ""))
    ax.xaxis.set_minor_locator(ticker.NullLocator())


def legend(ax: Axes, **where: Any) -> Legend:
    """Tell what is drawn, without a frame."""
    return ax.legend(frameon=False, labelcolor=INK, **where)


def legend_above(ax: Axes) -> Legend:
    """Tell what is drawn above the axes, where bars may be of any height."""
    longest = max(map(len, ax.get_legend_handles_labels()[1]))
    n_columns = max(1, 80 // (longest + 6))  # about 80 characters are as wide as the axes
    return legend(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=n_columns, borderaxespad=0.2)


def log_spaced_ranks(n_gallery: int, per_decade: int) -> Array:
    """Return distinct whole numbers from 1 to `n_gallery`, about evenly spaced on a logarithmic scale."""
    steps = np.arange(0, np.log10(n_gallery), 1 / per_decade)
    return np.unique(np.append(np.round(10**steps), n_gallery).astype(int))
