"""From predictions, or from an estimator, to the report that a display is drawn of."""

from abc import ABC, abstractmethod
from typing import Any, Self

from numpy.typing import ArrayLike
from sklearn.preprocessing import normalize

from txt2img._types import Array
from txt2img.evaluation.evaluator import RetrievalEvaluator
from txt2img.evaluation.report import RetrievalReport
from txt2img.evaluation.scorers import predictions_and_gallery


class ReportDisplay(ABC):
    """A display with a `from_report`, and what follows from it."""

    @classmethod
    @abstractmethod
    def from_report(cls, report: RetrievalReport, *args: Any, **options: Any) -> Self:
        """Draw it of a report."""

    @classmethod
    def from_predictions(cls, y_true: ArrayLike, y_pred: ArrayLike, **options: Any) -> Self:
        """Draw it of descriptors predicted from captions.

        Parameters
        ----------
        y_true : array-like of shape (n_captions, n_features)
            Descriptor of the photograph of each caption; captions with equal rows describe the same
            photograph. The distinct ones are searched, by the cosine.
        y_pred : array-like of shape (n_captions, n_features)
            Predicted descriptors.
        **options : dict
            What `from_report` takes, `ax` among it.

        Returns
        -------
        display
            The display, drawn.

        Raises
        ------
        ValueError
            If the shapes differ, or a number is not finite.
        """
        return cls.from_report(report_of_predictions(y_true, y_pred), **options)

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: ArrayLike, **options: Any) -> Self:
        """Draw it of what a fitted estimator predicts.

        Parameters
        ----------
        estimator : fitted regressor or pipeline
            Predicts descriptors from `X`.
        X : array-like of shape (n_captions, ...)
            Captions, or whatever the estimator takes, which it has not been fitted to.
        y : array-like of shape (n_captions, n_features)
            Descriptor of the photograph of each caption.
        **options : dict
            What `from_report` takes, `ax` among it.

        Returns
        -------
        display
            The display, drawn.
        """
        return cls.from_predictions(y, estimator.predict(X), **options)


def report_of_predictions(y_true: ArrayLike, y_pred: ArrayLike) -> RetrievalReport:
    """Evaluate a search by the cosine among the distinct rows of `y_true`."""
    y_pred, gallery, photograph = predictions_and_gallery(y_true, y_pred)
    return RetrievalEvaluator(ks=(1,)).evaluate(y_pred, _Cosines(gallery), photograph.tolist())


class _Cosines:
    """What the evaluator asks of an index."""

    def __init__(self, gallery: Array) -> None:
        self.ids_ = range(len(gallery))
        self._gallery = normalize(gallery)

    def score_factors(self, queries: Array) -> tuple[Array, Array, None]:
        return normalize(queries), self._gallery, None
