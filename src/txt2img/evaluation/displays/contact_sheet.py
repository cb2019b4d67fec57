"""Contact sheet: the hits of several queries at a glance."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from txt2img._files import write_whole
from txt2img._optional import import_optional
from txt2img._types import StrPath
from txt2img.evaluation.displays._axes import INK
from txt2img.evaluation.displays._thumbnails import PAPER, Photograph, thumbnail

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch
    from matplotlib.text import Text

__all__ = ["contact_sheet"]

RIGHT = "#2f9e5f"
LABEL = "#6b7280"

# Lengths in inches, type in points.
MARGIN = 0.5
GAP = 0.24
LINE = 0.24
LABEL_HEIGHT = 0.30
ROW_GAP = 0.36
ROUNDING = 0.05
TITLE_SIZE, QUERY_SIZE, LABEL_SIZE = 17, 12, 8.5

# A photograph, its label, and whether it is the right one; the text of a query, and its hits.
Hit: TypeAlias = tuple[Photograph, object, bool | None]
Row: TypeAlias = tuple[str, Sequence[Hit]]


def contact_sheet(
    rows: Sequence[Row],
    path: StrPath | None = None,
    *,
    title: str | None = None,
    crop: bool = True,
    thumbnail_width: float = 2.0,
    dpi: int = 150,
) -> Figure:
    """Lay out the hits of each query in a line of thumbnails.

    Parameters
    ----------
    rows : sequence of (str, sequence of (image, label, right))
        For each query its text and its hits. An image is a path, a PIL image, or an array of shape
        (height, width) or (height, width, 3 or 4), uint8 or floats between 0 and 1. The label is written
        below it, for example the score. `right` marks the right photograph with a green frame if True;
        False and None leave it unmarked.
    path : str or Path, default=None
        Where to save the sheet, in the format of its suffix (PNG, PDF, SVG, JPEG). The file appears
        there complete or not at all.
    title : str, default=None
        Heading of the sheet.
    crop : bool, default=True
        Whether to crop photographs to 4:3, a little above their centre; otherwise they are shown whole,
        on a grey mount.
    thumbnail_width : float, default=2.0
        Width of a thumbnail in inches.
    dpi : int, default=150
        Resolution in pixels per inch.

    Returns
    -------
    matplotlib.figure.Figure
        The sheet. It is not known to pyplot, so nothing has to be closed.

    Raises
    ------
    ValueError
        If there are no rows, or a row is not made as described.
    UnreadablePhotographError
        If a file is not a photograph that can be read.
    MissingExtraError
        If matplotlib is not installed.

    Notes
    -----
    The font is that of matplotlib's ``rcParams["font.family"]``. The default one covers the Latin, Greek
    and Cyrillic scripts; name another for Chinese, Japanese or Korean.

    Examples
    --------
    >>> from skimage import data
    >>> from txt2img.evaluation import contact_sheet
    >>> sheet = contact_sheet(
    ...     [("a cat looks at you", [(data.chelsea(), "0.71", True), (data.coffee(), "0.20", False)])]
    ... )
    >>> sheet.savefig("hits.png")  # doctest: +SKIP
    """
    rows = [_checked(row, i) for i, row in enumerate(rows)]
    if not rows:
        raise ValueError("rows is empty; a contact sheet needs at least one query")
    sheet = _Sheet(max(1, *(len(hits) for _, hits in rows)), thumbnail_width, dpi, crop)
    if title:
        sheet.write_title(title)
    for text, hits in rows:
        sheet.write_query(text)
        for column, (image, label, right) in enumerate(hits):
            sheet.place(image, label, right, column)
        sheet.end_row(bool(hits))
    figure = sheet.finish()
    if path is not None:
        path = Path(path)
        write_whole(path, lambda stream: figure.savefig(stream, format=path.suffix[1:] or "png"))
    return figure


class _Sheet:
    """A page that is filled from the top, on one pair of axes measured in inches, y downwards."""

    def __init__(self, n_columns: int, thumbnail_width: float, dpi: int, crop: bool) -> None:
        figure = import_optional("matplotlib.figure", extra="plot", purpose="A contact sheet")
        agg = import_optional("matplotlib.backends.backend_agg", extra="plot", purpose="A contact sheet")
        self.patches = import_optional("matplotlib.patches", extra="plot", purpose="A contact sheet")
        self.crop = crop
        self.size = (thumbnail_width, 0.75 * thumbnail_width)
        self.pixels = (round(self.size[0] * dpi), round(self.size[1] * dpi))
        self.inner_width = n_columns * thumbnail_width + (n_columns - 1) * GAP
        self.figure = figure.Figure(figsize=(self.inner_width + 2 * MARGIN, 1), dpi=dpi, facecolor=PAPER)
        self.renderer = agg.FigureCanvasAgg(self.figure).get_renderer()
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()
        self.y = MARGIN

    def write_title(self, title: str) -> None:
        self._write(MARGIN, self.y, title, self.inner_width, TITLE_SIZE, INK, weight="bold")
        self.y += 2.2 * LINE

    def write_query(self, text: str) -> None:
        for line in self._wrapped(_clean(text), self.inner_width, n_lines=2):
            self._write(MARGIN, self.y, line, self.inner_width, QUERY_SIZE, INK, weight="bold")
            self.y += LINE
        self.y += 0.11

    def place(self, image: Photograph, label: object, right: bool | None, column: int) -> None:
        width, height = self.size
        x = MARGIN + column * (width + GAP)
        picture = self.axes.imshow(
            thumbnail(image, self.pixels, crop=self.crop),
            extent=(x, x + width, self.y + height, self.y),
            aspect="auto",
        )
        picture.set_clip_path(self._rounded(x, self.y, facecolor="none", edgecolor="none"))
        if right:
            self._rounded(
                x, self.y, outset=0.055, facecolor="none", edgecolor=RIGHT, linewidth=2.6, gid="right"
            )
        colour, weight = (RIGHT, "bold") if right else (LABEL, "normal")
        self._write(x, self.y + height + 0.11, label, width, LABEL_SIZE, colour, weight=weight)

    def end_row(self, has_pictures: bool) -> None:
        self.y += (self.size[1] + LABEL_HEIGHT if has_pictures else 0) + ROW_GAP

    def finish(self) -> Figure:
        width, height = self.inner_width + 2 * MARGIN, self.y - ROW_GAP + MARGIN
        self.figure.set_size_inches(width, height)
        self.axes.set(xlim=(0, width), ylim=(height, 0))
        return self.figure

    def _rounded(self, x: float, y: float, *, outset: float = 0.0, **style: Any) -> FancyBboxPatch:
        width, height = self.size
        return self.axes.add_patch(
            self.patches.FancyBboxPatch(
                (x - outset, y - outset),
                width + 2 * outset,
                height + 2 * outset,
                boxstyle=self.patches.BoxStyle.Round(pad=0, rounding_size=ROUNDING + outset / 2),
                **style,
            )
        )

    def _write(
        self, x: float, y: float, text: object, width: float, size: float, colour: str, *, weight: str
    ) -> None:
        artist = self.axes.text(
            x, y, "", va="top", fontsize=size, color=colour, fontweight=weight, parse_math=False
        )
        artist.set_text(_shortened(_clean(text), lambda part: self._width(artist, part) <= width))

    def _wrapped(self, text: str, width: float, n_lines: int) -> list[str]:
        """Break into at most `n_lines` lines; what is too much stays on the last one."""
        probe = self.axes.text(0, 0, "", fontsize=QUERY_SIZE, fontweight="bold", parse_math=False)
        lines: list[str] = []
        words = text.split()
        while words and len(lines) < n_lines - 1:
            n = 1
            while n < len(words) and self._width(probe, " ".join(words[: n + 1])) <= width:
                n += 1
            lines.append(" ".join(words[:n]))
            words = words[n:]
        probe.remove()
        return [*lines, " ".join(words)] if words else lines

    def _width(self, artist: Text, text: str) -> float:
        artist.set_text(text)
        return artist.get_window_extent(self.renderer).width / self.figure.dpi


def _checked(row: Row, i: int) -> tuple[str, list[Hit]]:
    try:
        text, hits = row
        hits = [(image, label, right) for image, label, right in hits]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"rows[{i}] is a {type(row).__name__} that cannot be read; "
            "it must be (text of the query, [(image, label, right), ...])"
        ) from error
    return str(text), hits


def _clean(text: object) -> str:
    """Compose accents, and turn line breaks and unprintable characters into spaces."""
    text = unicodedata.normalize("NFC", str(text))
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _shortened(text: str, fits: Callable[[str], bool]) -> str:
    if fits(text):
        return text
    short, long = 0, len(text)
    while long - short > 1:
        middle = (short + long) // 2
        short, long = (middle, long) if fits(text[:middle].rstrip() + "…") else (short, middle)
    return text[:short].rstrip() + "…"
