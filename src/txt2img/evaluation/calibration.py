"""Whether stated probabilities come true."""

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["expected_calibration_error"]


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, n_bins: int = 15) -> float:
    """Measure how far stated probabilities are from the frequencies observed.

    Answers are put into bins of equal width by their confidence; the difference between the mean confidence
    and the share of right answers of each bin is averaged, weighted by the answers in it.

    Parameters
    ----------
    confidence : array-like of shape (n_queries,)
        Stated probability that each answer is right, between 0 and 1.
    correct : array-like of shape (n_queries,), dtype bool
        Whether it is right.
    n_bins : int, default=15
        Number of bins.

    Returns
    -------
    float
        Between 0, perfectly calibrated, and 1.

    References
    ----------
    Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI
    2015.

    Examples
    --------
    >>> from txt2img.evaluation import expected_calibration_error
    >>> expected_calibration_error([0.5, 0.5, 0.5, 0.5], [True, False, True, False])
    0.0
    >>> expected_calibration_error([1.0, 1.0], [True, False])
    0.5
    """
    confidence, correct = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    if confidence.shape != correct.shape or confidence.ndim != 1 or not len(confidence):
        raise ValueError(
            f"confidence and correct have the shapes {confidence.shape} and {correct.shape}; "
            "both must have one entry a query"
        )
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError("confidence must lie between 0 and 1")
    bins = np.minimum((confidence * n_bins).astype(np.intp), n_bins - 1)
    return float(np.abs(np.bincount(bins, confidence - correct)).sum() / len(correct))
