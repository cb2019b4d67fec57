"""Pictures of an evaluation; they need matplotlib, the extra ``plot``."""

from txt2img.evaluation.displays.calibration_curve import CalibrationCurveDisplay
from txt2img.evaluation.displays.contact_sheet import contact_sheet
from txt2img.evaluation.displays.gallery_map import GalleryMapDisplay
from txt2img.evaluation.displays.hubness import HubnessDisplay
from txt2img.evaluation.displays.rank_histogram import RankHistogramDisplay
from txt2img.evaluation.displays.recall_comparison import RecallComparisonDisplay
from txt2img.evaluation.displays.recall_curve import RecallCurveDisplay

__all__ = [
    "CalibrationCurveDisplay",
    "GalleryMapDisplay",
    "HubnessDisplay",
    "RankHistogramDisplay",
    "RecallComparisonDisplay",
    "RecallCurveDisplay",
    "contact_sheet",
]
