"""From predictions, or from an estimator, to the report that a display is drawn of."""

from sklearn.preprocessing import normalize

from txt2img.evaluation.evaluator import RetrievalEvaluator
from txt2img.evaluation.scorers import predictions_and_gallery


class ReportDisplay:
    """A display with a `from_report`, and what follows from it."""

    @classmethod
    def from_predictions(cls, y_true, y_pred, **options):
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
    def from_estimator(cls, estimator, X, y, **options):
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


def report_of_predictions(y_true, y_pred):
    """Evaluate a search by the cosine among the distinct rows of `y_true`."""
    y_pred, gallery, photograph = predictions_and_gallery(y_true, y_pred)
    return RetrievalEvaluator(ks=(1,)).evaluate(y_pred, _Cosines(gallery), photograph.tolist())


class _Cosines:
    """What the evaluator asks of an index."""

    def __init__(self, gallery):
        self.ids_ = range(len(gallery))
        self._gallery = normalize(gallery)

    def score_factors(self, queries):
        return normalize(queries), self._gallery, None
