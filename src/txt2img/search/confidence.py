"""Confidence: from the scores of a query to the probability that a photograph is the right one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from txt2img._doc_link import DocLinkMixin
from txt2img._types import Array

if TYPE_CHECKING:
    from txt2img.search.catalogue import Ids
    from txt2img.search.index import ImageIndex

BLOCK_BYTES = 2**26


class ConfidenceCalibrator(DocLinkMixin, BaseEstimator):
    r"""Turn scores into probabilities by a softmax over the whole gallery.

    If the right photograph of a query is in the gallery, the probability that it is photograph g is

    .. math:: p_g = \frac{e^{s_g / T}}{\sum_h e^{s_h / T}}

    with the scores :math:`s` that the index ranks by. The temperature :math:`T` is the one that makes the
    right photographs of held-out captions most probable. A score alone says little, as some queries score
    high with everything; the same probability means the same for all queries and, as rivals count, for
    galleries of other sizes.

    Attributes
    ----------
    temperature_ : float
        T above, in units of the score.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from txt2img import ImageIndex
    >>> from txt2img.search import ConfidenceCalibrator
    >>> rng = np.random.default_rng(0)
    >>> gallery = rng.normal(size=(100, 8))
    >>> index = ImageIndex().fit(gallery)
    >>> asked = gallery + rng.normal(size=(100, 8))
    >>> calibrator = ConfidenceCalibrator().fit(asked, index, range(100))
    >>> sure = calibrator.probabilities(asked, index, index.search(asked, 1)[1])
    >>> right = index.predict(asked) == range(100)
    >>> print(f"sure {sure.mean():.1f}, right {right.mean():.1f}")
    sure 0.4, right 0.4
    """

    def fit(self, predicted: ArrayLike, index: ImageIndex, true_ids: Ids) -> Self:
        """Find the temperature from queries whose right photograph is known and was not learned from.

        Parameters
        ----------
        predicted : array-like of shape (n_queries, n_features)
            Descriptors predicted from held-out captions.
        index : ImageIndex
            Photographs that were not learned from, the right ones among them; at least two.
        true_ids : sequence of length n_queries
            Id of the right photograph of each query.

        Returns
        -------
        self : ConfidenceCalibrator
            The fitted calibrator.
        """
        right = index.rows_of(true_ids)
        queries, gallery, bias = index.score_factors(predicted)
        step = max(1, BLOCK_BYTES // (8 * len(gallery)))

        def negative_log_likelihood(log_temperature: float) -> float:
            inverse, total = np.exp(-log_temperature), 0.0
            for start in range(0, len(queries), step):
                rows = slice(start, start + step)
                scores = inverse * _scores(queries[rows], gallery, bias)
                own = np.take_along_axis(scores, right[rows, None], axis=1)
                total += float((logsumexp(scores, axis=1) - own[:, 0]).sum())
            return total

        spread = float(_scores(queries[:step], gallery, bias).std())
        spread = spread if spread > 1e-6 else 1.0
        low, high = np.log(spread * 1e-3), np.log(spread * 1e2)
        found = minimize_scalar(
            negative_log_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-3}
        )
        self.temperature_ = float(np.exp(found.x))
        return self

    def probabilities(self, predicted: ArrayLike, index: ImageIndex, ids: Array) -> Array:
        """Say how probable it is that photographs are the right ones.

        Parameters
        ----------
        predicted : array-like of shape (n_queries, n_features)
            Descriptors predicted from the queries.
        index : ImageIndex
            The gallery.
        ids : ndarray of shape (n_queries, k)
            Photographs asked about, as `ImageIndex.search` gives them.

        Returns
        -------
        ndarray of shape (n_queries, k), dtype float32
            Probabilities, given that the right photograph is in the gallery.
        """
        check_is_fitted(self)
        queries, gallery, bias = index.score_factors(predicted)
        step = max(1, BLOCK_BYTES // (8 * len(gallery)))
        rows = index.rows_of(np.ravel(ids)).reshape(np.shape(ids))
        found = np.empty(rows.shape, np.float32)
        for start in range(0, len(queries), step):
            block = slice(start, start + step)
            scores = _scores(queries[block], gallery, bias) / self.temperature_
            own = np.take_along_axis(scores, rows[block], axis=1)
            found[block] = np.exp(own - logsumexp(scores, axis=1, keepdims=True))
        return found


def _scores(queries: Array, gallery: Array, bias: Array | None) -> Array:
    scores = queries @ gallery.T
    return scores if bias is None else scores + bias
