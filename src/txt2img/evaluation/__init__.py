"""How good the search is: ranks, figures, intervals, scorers and pictures."""

from txt2img.evaluation.bootstrap import bootstrap_intervals, bootstrap_means
from txt2img.evaluation.calibration import expected_calibration_error
from txt2img.evaluation.comparison import compare
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
from txt2img.evaluation.relevance import (
    average_precision,
    first_relevant,
    mean_average_precision,
    ndcg_at,
    relevant_better_and_tied,
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
from txt2img.evaluation.table import Table

__all__ = [
    "CalibrationCurveDisplay",
    "GalleryMapDisplay",
    "HubnessDisplay",
    "RankHistogramDisplay",
    "RecallComparisonDisplay",
    "RecallCurveDisplay",
    "RetrievalEvaluator",
    "RetrievalReport",
    "Table",
    "average_precision",
    "better_and_tied",
    "better_and_tied_blockwise",
    "bootstrap_intervals",
    "bootstrap_means",
    "chance_levels",
    "compare",
    "contact_sheet",
    "expected_calibration_error",
    "first_relevant",
    "k_occurrence",
    "k_occurrence_skewness",
    "mean_average_precision",
    "mean_rank",
    "mean_ranks",
    "mean_reciprocal_rank",
    "mean_reciprocal_rank_score",
    "mean_reciprocal_rank_scorer",
    "median_rank",
    "median_rank_score",
    "median_rank_scorer",
    "ndcg_at",
    "recall_at",
    "recall_at_1",
    "recall_at_5",
    "recall_at_10",
    "recall_at_k_score",
    "recall_scorer",
    "relevant_better_and_tied",
    "retrieval_figures",
]
