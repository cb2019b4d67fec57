"""Pictures of an evaluation; they need matplotlib, the extra ``plot``."""

from txt2img.evaluation.displays.contact_sheet import contact_sheet
from txt2img.evaluation.displays.rank_histogram import RankHistogramDisplay
from txt2img.evaluation.displays.recall_curve import RecallCurveDisplay

__all__ = ["RankHistogramDisplay", "RecallCurveDisplay", "contact_sheet"]
