"""The figures of an evaluation at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from txt2img.evaluation.readable import percent, readable, readable_ends
from txt2img.evaluation.table import Table

if TYPE_CHECKING:
    from txt2img.evaluation.report import RetrievalReport

ASKED_AND_SEARCHED = {
    "text_to_photograph": ("queries", "photographs"),
    "photograph_to_text": ("photographs", "captions"),
}


def summary_table(report: RetrievalReport) -> Table:
    """Make a table of the figures of a report, their intervals and the level of chance."""
    found, chance, ends = report.to_dict(), report.chance, report.intervals()
    columns = {
        "": [name.replace("_", " ") for name in found],
        "found": [readable(*pair) for pair in found.items()],
        "95 % interval": [readable_ends(name, ends[name]) for name in found],
        "chance": [readable(*pair) for pair in chance.items()],
    }
    return Table(columns, title=_title(report))


def summary_text(report: RetrievalReport) -> str:
    """Write the same, and what is known of hubness and confidence, as text."""
    table = summary_table(report)
    lines = [_title(report), f"{'':12}{'found':>10}{'95 % interval':>18}{'chance':>10}"]
    lines += [
        f"{name:12}{found:>10}{ends:>18}{chance:>10}"
        for name, found, ends, chance in zip(*table.columns.values())
    ]
    if report.hubness is not None:
        lines.append(f"{'hubness':12}{report.hubness:>10.2f}")
    if report.hubness_uncorrected is not None:
        lines[-1] += f"{f'{report.hubness_uncorrected:.2f} uncorrected':>28}"
    if report.confidence is not None:
        lines.append(
            f"{'confidence':12}{percent(float(np.mean(report.confidence))):>10}"
            f"    calibration error {report.calibration_error:.3f}, Brier score {report.brier_score:.3f}"
        )
    return "\n".join(lines)


def _title(report: RetrievalReport) -> str:
    asked, searched = ASKED_AND_SEARCHED[report.direction]
    return f"{report.n_queries:,} {asked}, {report.n_gallery:,} {searched}"
