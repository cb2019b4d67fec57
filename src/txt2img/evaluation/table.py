"""Tables that print, and go into documents, notebooks and other programs."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from txt2img._optional import import_optional

if TYPE_CHECKING:
    from pandas import DataFrame, Series

__all__ = ["Table"]

WIDEST = 48
JOINERS = "\u200c\u200d"
LATEX = str.maketrans(
    {sign: f"\\{sign}" for sign in "{}$&#_%"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
    }
)
MARKDOWN = str.maketrans(
    {sign: f"\\{sign}" for sign in "\\`*_[]|~$"} | {"<": "&lt;", "&": "&amp;", ">": "&gt;"}
)


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Columns of data, and how they are shown.

    Printed, and in a notebook, it is a table. What it exports as data (`columns`, `to_frame`, `to_json`) is
    as it was given. What it shows is text on one line: captions and file names are escaped, so that they
    cannot act as HTML, Markdown or LaTeX, and what cannot be printed becomes a space.

    Parameters
    ----------
    columns : dict of str to list
        Data, one entry a row in every column.
    shown : dict of str to list of str, default=None
        Text of the columns that are shown, by default of all.
    title : str, default=None
        Line above the table.

    Examples
    --------
    >>> from txt2img.evaluation import Table
    >>> table = Table({"language": ["en", "es"], "R@1": [0.296, 0.213]})
    >>> table
    language    R@1
    en        0.296
    es        0.213
    >>> table["R@1"]
    [0.296, 0.213]
    >>> print(table.to_markdown())
    | language | R@1 |
    | :--- | ---: |
    | en | 0.296 |
    | es | 0.213 |
    """

    columns: Mapping[str, Sequence[Any]]
    shown: Mapping[str, Sequence[Any]] | None = None
    title: str | None = None

    def __getitem__(self, name: str) -> Sequence[Any]:
        return self.columns[name]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(next(iter(self.columns.values()), ()))

    def to_frame(self) -> DataFrame:
        """Make a DataFrame of the data.

        Returns
        -------
        pandas.DataFrame
            One row a row; the values are as they are, nothing is escaped. Needs pandas.
        """
        pandas = import_optional("pandas", extra="pandas", purpose="A DataFrame")
        return pandas.DataFrame({name: _series(pandas, column) for name, column in self.columns.items()})

    def to_json(self) -> str:
        """Write the data as JSON.

        Returns
        -------
        str
            A list of objects, one a row. What is not finite becomes null, an id that JSON does not know its
            string.
        """
        return to_json([dict(zip(self.columns, row)) for row in zip(*self.columns.values())])

    def to_markdown(self) -> str:
        """Write what is shown as a Markdown table.

        Returns
        -------
        str
            Table.
        """
        names, rows, right = self._text()
        head, *body = ([cell.translate(MARKDOWN) for cell in line] for line in (names, *rows))
        rule = ["---:" if each else ":---" for each in right]
        return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *body))

    def to_latex(self) -> str:
        r"""Write what is shown as a LaTeX table.

        Returns
        -------
        str
            A ``tabular`` with the rules of the package booktabs.
        """
        names, rows, right = self._text()
        head, *body = (" & ".join(cell.translate(LATEX) for cell in line) + r" \\" for line in (names, *rows))
        columns = "".join("r" if each else "l" for each in right)
        begin, end = rf"\begin{{tabular}}{{{columns}}}", r"\end{tabular}"
        return "\n".join([begin, r"\toprule", head, r"\midrule", *body, r"\bottomrule", end])

    def to_html(self) -> str:
        """Write what is shown as an HTML table.

        Returns
        -------
        str
            A ``<table>``.
        """
        names, rows, right = self._text()
        align = ["right" if each else "left" for each in right]
        caption = "" if self.title is None else f"<caption>{html.escape(one_line(self.title))}</caption>"
        head = _html_row(names, align, "th")
        body = "".join(_html_row(row, align, "td") for row in rows)
        return f"<table>{caption}<thead>{head}</thead><tbody>{body}</tbody></table>"

    def _repr_html_(self) -> str:
        return self.to_html()

    def __str__(self) -> str:
        names, rows, right = self._text()
        lines = [[shortened(cell) for cell in line] for line in (names, *rows)]
        widths = [max(map(len, column)) for column in zip(*lines)]
        table = [
            "  ".join(
                cell.rjust(width) if to_right else cell.ljust(width)
                for cell, width, to_right in zip(line, widths, right)
            ).rstrip()
            for line in lines
        ]
        return "\n".join(table if self.title is None else [self.title, *table])

    def __repr__(self) -> str:
        return str(self)

    def _text(self) -> tuple[list[str], list[list[str]], list[bool]]:
        """Return names, rows of cells on one line, and which columns hold numbers."""
        shown = self.columns if self.shown is None else self.shown
        columns = [[one_line(cell) for cell in column] for column in shown.values()]
        right = [any(map(_is_number, column)) and all(map(_is_number_or_empty, column)) for column in columns]
        return [one_line(name) for name in shown], [list(row) for row in zip(*columns)], right


def to_json(data: Any) -> str:
    """Write as JSON, whatever the ids are."""
    return json.dumps(_plain(data), indent=1, allow_nan=False, default=str)


def one_line(cell: object) -> str:
    """Make text of a cell, on one line and printable."""
    text = "" if cell is None else str(cell)
    return " ".join("".join(sign if sign.isprintable() or sign in JOINERS else " " for sign in text).split())


def shortened(text: str) -> str:
    """Leave out the middle of a long text: captions are told by their beginning, paths by their end."""
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 20]}…{text[-19:]}"


def _series(pandas: ModuleType, column: Sequence[Any]) -> Series:
    try:
        return pandas.Series(column)
    except UnicodeEncodeError:  # the name of a file that is not UTF-8
        return pandas.Series(column, dtype=object)


def _html_row(cells: Sequence[str], align: Sequence[str], tag: str) -> str:
    return (
        "<tr>"
        + "".join(
            f'<{tag} style="text-align: {side}"><bdi>{html.escape(cell)}</bdi></{tag}>'
            for cell, side in zip(cells, align)
        )
        + "</tr>"
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell.partition(" ")[0].replace(",", ""))
    except ValueError:
        return False
    return True


def _is_number_or_empty(cell: str) -> bool:
    return not cell or _is_number(cell)


def _plain(value: Any) -> Any:
    """Turn numpy's values into Python's, and what is not finite into None."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
