"""The table of single queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from txt2img.evaluation.table import Table

if TYPE_CHECKING:
    from txt2img.evaluation.report import RetrievalReport


def queries_table(report: RetrievalReport, rows: Sequence[int], n_hits: int | None = None) -> Table:
    """Tell what is known of queries, and what came first.

    Parameters
    ----------
    report : RetrievalReport
        The evaluation.
    rows : sequence of int
        Which queries, in the order of the table.
    n_hits : int, default=None
        How many of the first photographs to tell, by default all that were kept.

    Returns
    -------
    Table
        One row a query.
    """
    ranks = report.ranks
    columns = {name: [column[row] for row in rows] for name, column in report.columns.items()}
    text = {"text": columns.pop("text")} if "text" in columns else {}
    columns = text | {
        "true_id": [report.true_ids[row] for row in rows],
        "rank": [float(ranks[row]) for row in rows],
        **columns,
    }
    if report.confidence is not None:
        columns["confidence"] = [float(report.confidence[row]) for row in rows]
    shown = {name.replace("_", " "): [_cell(value) for value in column] for name, column in columns.items()}
    if report.hit_ids is not None:
        for i in range(report.hit_ids.shape[1])[:n_hits]:
            columns[f"hit_{i + 1}"] = [report.hit_ids[row, i] for row in rows]
            if report.hit_scores is not None:
                columns[f"score_{i + 1}"] = [float(report.hit_scores[row, i]) for row in rows]
            shown[f"hit {i + 1}"] = columns[f"hit_{i + 1}"]
    return Table(columns, shown)


def _cell(value: object) -> object:
    return f"{value:.4g}" if isinstance(value, float) else value
