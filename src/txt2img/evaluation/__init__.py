"""How good the search is: ranks, figures, intervals, scorers and pictures."""

from txt2img.evaluation.bootstrap import bootstrap_means
from txt2img.evaluation.calibration import expected_calibration_error
from txt2img.evaluation.displays import (
    CalibrationCurveDisplay,
    GalleryMapDisplay,
    HubnessDisplay,
    RankHistogramDisplay,
    RecallComparisonDisplay,
    RecallCurveDisplay,
    contact_sheet,
)
from txt2img.evaluation.evaluator import RetrievalEvaluator
from txt2img.evaluation.hubness import k_occurrence, k_occurrence_skewness
from txt2img.evaluation.ranks import (
    better_and_tied,
    better_and_tied_blockwise,
    chance_levels,
    mean_rank,
    mean_ranks,
    mean_reciprocal_rank,
    median_rank,
    recall_at,
    retrieval_figures,
)
from txt2img.evaluation.report import RetrievalReport
from txt2img.evaluation.scorers import (
    mean_reciprocal_rank_score,
    mean_reciprocal_rank_scorer,
    median_rank_score,
    median_rank_scorer,
    recall_at_1,
    recall_at_5,
    recall_at_10,
    recall_at_k_score,
    recall_scorer,
)

__all__ = [
    "CalibrationCurveDisplay",
    "GalleryMapDisplay",
    "HubnessDisplay",
    "RankHistogramDisplay",
    "RecallComparisonDisplay",
    "RecallCurveDisplay",
    "RetrievalEvaluator",
    "RetrievalReport",
    "better_and_tied",
    "better_and_tied_blockwise",
    "bootstrap_means",
    "chance_levels",
    "contact_sheet",
    "expected_calibration_error",
    "k_occurrence",
    "k_occurrence_skewness",
    "mean_rank",
    "mean_ranks",
    "mean_reciprocal_rank",
    "mean_reciprocal_rank_score",
    "mean_reciprocal_rank_scorer",
    "median_rank",
    "median_rank_score",
    "median_rank_scorer",
    "recall_at",
    "recall_at_1",
    "recall_at_5",
    "recall_at_10",
    "recall_at_k_score",
    "recall_scorer",
    "retrieval_figures",
]
