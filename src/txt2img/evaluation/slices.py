"""Parts of the queries, by value or by quantile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from txt2img._types import Array
from txt2img.evaluation.readable import readable, readable_ends
from txt2img.evaluation.table import Table

if TYPE_CHECKING:
    from txt2img.evaluation.report import RetrievalReport

MISSING = "missing"
MOST_VALUES, BINS = 10, 4


def slice_labels(values: list[Any], bins: int | None) -> list[tuple[Any, Array]]:
    """Part queries by value, numbers of many different values into bins.

    Parameters
    ----------
    values : list of length n_queries
        Numbers, or anything that is hashable; None and NaN are missing.
    bins : int or None
        Greatest number of bins of numbers; None for 4 where there are more than 10 different ones.

    Returns
    -------
    list of (object, ndarray of shape (n_queries,), dtype bool)
        Label of each part and which queries are in it: numbers in their order, anything else in the order of
        its first appearance, missing values last.
    """
    missing = np.array([value is None or value != value for value in values])
    present = [value for value, gone in zip(values, missing) if not gone]
    numeric = bool(present) and all(
        isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in present
    )
    parts = {}
    if numeric:
        numbers = np.full(len(values), np.nan)
        numbers[~missing] = present
        distinct = np.unique(numbers[~missing])
        if len(distinct) > (MOST_VALUES if bins is None else bins):
            bins = bins or BINS
            quantiles = np.quantile(numbers[~missing], np.arange(1, bins) / bins, method="inverted_cdf")
            part_of_each = np.searchsorted(np.unique(quantiles), numbers)
            for part in np.unique(part_of_each[~missing]):
                chosen = (part_of_each == part) & ~missing
                parts[_range(numbers[chosen])] = chosen
        else:
            parts = {f"{value:.4g}": numbers == value for value in distinct}
    else:
        rows: dict[Any, list[int]] = {}
        for row, (value, gone) in enumerate(zip(values, missing)):
            if not gone:
                rows.setdefault(value, []).append(row)
        parts = {value: np.isin(np.arange(len(values)), own) for value, own in rows.items()}
    return [*parts.items(), *([(MISSING, missing)] if missing.any() else [])]


def slices_table(name: str, reports: dict[Any, RetrievalReport], options: dict[str, Any]) -> Table:
    """Tell the figures of reports with their intervals.

    Parameters
    ----------
    name : str
        What the queries are parted by.
    reports : dict of object to RetrievalReport
        Report of each part.
    options : dict
        Arguments of `RetrievalReport.intervals`.

    Returns
    -------
    Table
        One row a part.
    """
    columns = {name: list(reports), "queries": [], "photographs": []}
    for report in reports.values():
        columns["queries"].append(report.n_queries)
        columns["photographs"].append(len(set(report.true_ids)))
    shown = {key: column if key == name else [f"{n:,}" for n in column] for key, column in columns.items()}
    figures = [report.to_dict() for report in reports.values()]
    intervals = [report.intervals(**options) for report in reports.values()]
    for key in figures[0]:
        columns[key] = [own[key] for own in figures]
        columns[f"{key} low"], columns[f"{key} high"] = map(list, zip(*(own[key] for own in intervals)))
        shown[key.replace("_", " ")] = [
            f"{readable(key, own[key])} ({readable_ends(key, ends[key]) or '?'})"
            for own, ends in zip(figures, intervals)
        ]
    return Table(columns, shown)


def _range(numbers: Array) -> str:
    low, high = f"{numbers.min():.4g}", f"{numbers.max():.4g}"
    return low if low == high else f"{low} to {high}"
