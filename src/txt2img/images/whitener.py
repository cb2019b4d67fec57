"""DescriptorWhitener: descriptors that are easier to predict and to compare."""

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.preprocessing import normalize
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval
from sklearn.utils.extmath import randomized_svd
from sklearn.utils.validation import check_is_fitted, validate_data

from txt2img._callbacks import CallbackSupportMixin, one_task
from txt2img._doc_link import DocLinkMixin
from txt2img._types import Array

# Above this width few axes are found by randomized iterations: a factorisation costs the cube of the width.
WIDE = 4000


class DescriptorWhitener(
    CallbackSupportMixin, DocLinkMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    r"""Centre descriptors, turn them to their principal axes and even out their variances.

    The axes of large variance of a pooled feature drown the others in every inner product. Each axis is
    divided by its standard deviation to the power `exponent`:

    .. math:: z_j = \frac{v_j^\top (x - \mu)}{(\lambda_j + \epsilon)^{\text{exponent}/2}}

    where :math:`\lambda_j` are the eigenvalues of the covariance, :math:`v_j` its eigenvectors and
    :math:`\epsilon` is `shrinkage` times the mean eigenvalue. Halfway between none (0) and full
    whitening (1) is best for descriptors that are predicted from text: the small axes are the least
    predictable.

    Parameters
    ----------
    n_components : int or None, default=512
        Number of principal axes kept, the ones of largest variance; at most as many as the descriptors
        have numbers and the fitted photographs have independent directions. None keeps all of these.
    exponent : float, default=0.5
        0 only centres and rotates, 1 gives every axis the variance 1.
    shrinkage : float, default=0.0
        Added to every eigenvalue, in units of their mean, so that axes of hardly any variance are not
        blown up.

    Attributes
    ----------
    mean_ : ndarray of shape (n_features,), dtype float64
        Mean descriptor.
    components_ : ndarray of shape (n_kept, n_features)
        Principal axes divided by what the whitening divides them by.
    variances_ : ndarray of shape (n_kept,), dtype float64
        Variance along each axis before whitening.
    n_components_ : int
        Number of axes kept.
    n_samples_seen_ : int
        Number of descriptors seen by `fit` or by all calls of `partial_fit`.
    covariance_ : ndarray of shape (n_features, n_features), dtype float64
        Covariance of the descriptors; kept only by `partial_fit`, which goes on from it.
    n_features_in_ : int
        Width of the descriptors.

    References
    ----------
    Halko, Martinsson and Tropp, "Finding Structure with Randomness: Probabilistic Algorithms for Constructing
    Approximate Matrix Decompositions", SIAM Review 53, 2011: how `fit` finds few axes of more than 4,000
    numbers.

    Jégou and Chum, "Negative evidences and co-occurences in image retrieval: the benefit of PCA and
    whitening", ECCV 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from txt2img import DescriptorWhitener
    >>> descriptors = np.random.default_rng(0).normal(size=(200, 8)) * [9, 5, 3, 2, 1, 1, 1, 1]
    >>> whitened = DescriptorWhitener(n_components=4, exponent=1).fit_transform(descriptors)
    >>> whitened.std(axis=0).round(3).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """

    _parameter_constraints: dict[str, Any] = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "exponent": [Interval(Real, 0, 1, closed="both")],
        "shrinkage": [Interval(Real, 0, None, closed="left")],
    }

    covariance_: Array

    def __init__(
        self, n_components: int | None = 512, *, exponent: float = 0.5, shrinkage: float = 0.0
    ) -> None:
        self.n_components = n_components
        self.exponent = exponent
        self.shrinkage = shrinkage

    @_fit_context(prefer_skip_nested_validation=True)
    @one_task
    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Learn mean and principal axes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Descriptors, of captioned and uncaptioned photographs alike.
        y : None
            Ignored.

        Returns
        -------
        self : DescriptorWhitener
            The fitted estimator.
        """
        X = self._validated(X)
        self.n_samples_seen_ = len(X)
        self.mean_, centred = _centre(X)
        total_variance = np.einsum("ij,ij->", centred, centred, dtype=np.float64) / len(X)
        if X.shape[1] > WIDE and self.n_components is not None and 4 * self.n_components <= min(X.shape):
            _, singular, axes = randomized_svd(centred, self.n_components, n_iter=4, random_state=0)
            variances, axes = singular.astype(np.float64) ** 2 / len(X), axes.T
        elif len(X) < X.shape[1]:
            # The products of few photographs have the same eigenvalues as those of many numbers.
            variances, own = _principal_axes(centred @ centred.T / len(X), self.n_components, X.dtype)
            axes = normalize(centred.T @ own, axis=0)
        else:
            variances, axes = _principal_axes(_covariance(centred), self.n_components, X.dtype)
        self._set_axes(variances, axes, total_variance)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: ArrayLike, y: object = None) -> Self:
        """Learn from further descriptors, which need not fit in memory all at once.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The next descriptors.
        y : None
            Ignored.

        Returns
        -------
        self : DescriptorWhitener
            Fitted on all descriptors that `partial_fit` has seen so far.
        """
        first = not hasattr(self, "covariance_")
        X = self._validated(X, reset=first)
        mean, centred = _centre(X)
        covariance = _covariance(centred)
        n_samples = len(X)
        if not first:
            n_samples += self.n_samples_seen_
            share = len(X) / n_samples
            apart = mean - self.mean_
            mean = self.mean_ + share * apart
            covariance *= share
            covariance += (1 - share) * self.covariance_ + share * (1 - share) * np.outer(apart, apart)
        self.n_samples_seen_, self.mean_, self.covariance_ = n_samples, mean, covariance
        self._set_axes(*_principal_axes(covariance, self.n_components, X.dtype), np.trace(covariance))
        return self

    def _validated(self, X: ArrayLike, *, reset: bool = True) -> Array:
        return validate_data(self, X, dtype=[np.float64, np.float32], reset=reset)

    def _set_axes(self, variances: Array, axes: Array, total_variance: float) -> None:
        width, dtype = len(axes), axes.dtype
        # Directions without variance are noise of rounding; one at least stays, for constant descriptors.
        kept = max(1, int((variances > variances[0] * width * np.finfo(dtype).eps).sum()))
        scale = (variances[:kept].clip(0) + self.shrinkage * total_variance / width) ** (self.exponent / 2)
        axes = axes[:, :kept] / np.where(scale > 0, scale, 1)
        axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(kept)])
        self.components_ = np.ascontiguousarray(axes.T, dtype=dtype)
        self.variances_ = variances[:kept].astype(np.float64)
        self.n_components_ = kept

    def transform(self, X: ArrayLike) -> Array:
        """Whiten descriptors.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Descriptors.

        Returns
        -------
        ndarray of shape (n_samples, n_kept), dtype as X
            Whitened descriptors.
        """
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        return (X - self.mean_.astype(X.dtype)) @ self.components_.T.astype(X.dtype)

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _principal_axes(covariance: Array, n_components: int | None, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Give the largest eigenvalues of a covariance, falling, and their eigenvectors."""
    width = len(covariance)
    wanted = width if n_components is None else min(n_components, width)
    # The covariance of single-precision descriptors is no more exact than its type.
    variances, axes = linalg.eigh(
        covariance.astype(dtype), subset_by_index=(width - wanted, width - 1) if wanted < width else None
    )
    return variances[::-1], axes[:, ::-1]


def _centre(X: Array) -> tuple[Array, Array]:
    """Give the mean in double precision, and what is left without it in the precision of X."""
    mean = X.mean(axis=0, dtype=np.float64)
    return mean, X - mean.astype(X.dtype)


def _covariance(centred: Array) -> Array:
    """Give the covariance in double precision; the product itself runs in that of the descriptors."""
    return (centred.T @ centred).astype(np.float64) / len(centred)
