"""Ridge regression in closed form, for sparse inputs and many outputs, its strength given or chosen."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Self, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike
from scipy import linalg
from sklearn.utils import check_consistent_length, check_random_state

from txt2img._types import Array, Matrix, Seed
from txt2img.mapping.blocks import split_columns

# Captions up to which the errors on photographs left out are computed, not estimated.
EXACT_CAPTIONS = 2000
# Where they are estimated: mixtures of the outputs, and probes in each of two halves, at least.
MIXTURES, PROBES = 64, 32

# A Cholesky factor as scipy gives it, and residuals as functions of it and the strength.
Factor: TypeAlias = tuple[Array, bool]
Residuals: TypeAlias = Callable[[Factor, float], Sequence[Array]]


def fit_ridge(X: Matrix, Y: Array, alpha: float, weight: Array | None = None) -> tuple[Array, Array]:
    """Find the weights that minimise ||Y - XW - b||² + alpha ||W||².

    With weights of captions, each row of the first norm counts as often as its weight says.

    The inputs are centred without being made dense. Where there are at least as many captions as
    columns the normal equations are solved in the space of the columns (Gram matrix), else in the space
    of the captions (kernel matrix), in both cases by one Cholesky factorisation for all outputs.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_captions, n_features), dtype float32 or float64
        Vectors of the captions.
    Y : ndarray of shape (n_captions, n_outputs), dtype as X
        Targets.
    alpha : float
        Strength of the penalty, greater than 0.
    weight : ndarray of shape (n_captions,), dtype as X, default=None
        Weight of each caption, greater than 0; by default 1.

    Returns
    -------
    weights : ndarray of shape (n_features, n_outputs), dtype as X
        W above.
    intercept : ndarray of shape (n_outputs,), dtype as X
        b above, not penalised.

    References
    ----------
    Hoerl and Kennard, "Ridge Regression: Biased Estimation for Nonorthogonal Problems", Technometrics
    12, 1970.
    """
    if X.shape[0] >= X.shape[1]:
        return NormalEquations().update(X, Y, weight).solve(alpha)
    return _KernelEquations(X, Y, weight).solve(alpha)


def fit_ridge_path(
    X: Matrix,
    Y: Array,
    alphas: ArrayLike,
    groups: ArrayLike,
    random_state: Seed = None,
    weight: Array | None = None,
) -> tuple[Array, Array, float, Array]:
    """Fit ridge with the strength, out of several, that errs least on photographs left out.

    With H the matrix that takes targets to fitted values, and E = (I - H) Y the residuals, a fit without
    the captions g of a photograph misses their targets by exactly

        (I - H_gg)⁻¹ E_g,

    so that leaving out every photograph in turn takes no further fits. Up to 2,000 captions the blocks
    H_gg are computed.

    With more captions they are estimated by random probes. Ridge is fitted to Gaussian noise as targets,
    its weights drawn by the penalty not to zero but to noise of variance 1 / alpha; what it leaves of the
    targets has the covariance I - H. The inverse of a covariance of m captions estimated from k such
    probes is too large by k / (k - m - 1) on average. With that corrected, and the two factors of the
    squared error taken from probes of their own, the estimate is unbiased, whatever the number of probes.
    So is the mean over random mixtures of the outputs, of which there are 64 in place of more outputs.

    The Gram or kernel matrix is computed once; each strength costs one Cholesky factorisation.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_captions, n_features), dtype float32 or float64
        Vectors of the captions.
    Y : ndarray of shape (n_captions, n_outputs), dtype as X
        Targets.
    alphas : array-like of shape (n_alphas,)
        Strengths to choose from, greater than 0.
    groups : array-like of shape (n_captions,), dtype int
        Photograph of each caption; two photographs at least.
    random_state : int, RandomState instance or None, default=None
        Draws probes and mixtures, the same for all strengths. Not used up to 2,000 captions.
    weight : ndarray of shape (n_captions,), dtype as X, default=None
        Weight of each caption, greater than 0; by default 1.

    Returns
    -------
    weights : ndarray of shape (n_features, n_outputs), dtype as X
        Weights at the strength chosen, as from `fit_ridge`.
    intercept : ndarray of shape (n_outputs,), dtype as X
        Intercept at the strength chosen.
    best_alpha : float
        Strength with the smallest error.
    scores : ndarray of shape (n_alphas,), dtype float64
        Mean squared error, over captions and outputs, on photographs left out, for each strength.

    Raises
    ------
    ValueError
        If `alphas` is empty or not positive, or `groups` differs in length from X or names one photograph
        only.

    Notes
    -----
    There are at least twice as many probes as captions of the most captioned photograph: the method is
    meant for a few captions a photograph, not for thousands.

    References
    ----------
    Allen, "The Relationship between Variable Selection and Data Augmentation and a Method for Prediction",
    Technometrics 16, 1974, for errors without refitting; Girard, "A Fast 'Monte-Carlo Cross-Validation'
    Procedure for Large Least Squares Problems with Noisy Data", Numerische Mathematik 56, 1989, for random
    probes; Haff, "An Identity for the Wishart Distribution with Applications", Journal of Multivariate
    Analysis 9, 1979, for the mean of the inverse.

    Examples
    --------
    >>> import numpy as np
    >>> from txt2img.mapping.closed_form import fit_ridge_path
    >>> rng = np.random.default_rng(0)
    >>> photograph = np.repeat(np.arange(20), 5)
    >>> X = rng.normal(size=(20, 15))[photograph]
    >>> Y = X @ rng.normal(size=(15, 3)) + 5 * rng.normal(size=(20, 3))[photograph]
    >>> weights, intercept, best_alpha, scores = fit_ridge_path(X, Y, [0.1, 100, 100_000], photograph)
    >>> best_alpha, scores.argmin()
    (100.0, np.int64(1))
    """
    alphas = np.asarray(alphas, np.float64)
    if alphas.ndim != 1 or not alphas.size or not (alphas > 0).all():
        raise ValueError(f"alphas must be one or more numbers greater than 0, got {alphas.tolist()}")
    check_consistent_length(X, Y, groups)
    photographs = _rows_by_size(groups)
    if sum(map(len, photographs)) < 2:
        raise ValueError(
            "groups names one photograph only, so that none can be left out: pass captions of several "
            "photographs, or one alpha"
        )
    n_captions, n_features = X.shape
    n_probes = 0
    if n_captions > EXACT_CAPTIONS:
        n_probes = max(PROBES, 2 * max(rows.shape[1] for rows in photographs))
    equations: NormalEquations | _KernelEquations
    if n_probes and n_captions >= n_features:
        equations = NormalEquations().update(X, Y, weight)
    else:
        equations = _KernelEquations(X, Y, weight)
    residuals = equations._residual_function(X, Y, weight, n_probes, check_random_state(random_state))
    scores = np.full(len(alphas), np.inf)
    for i, alpha in enumerate(alphas):
        factor = equations._factor(alpha)
        error = _left_out_error(photographs, *residuals(factor, alpha)) / equations.n_captions
        if error < scores.min():
            best_alpha, best_factor = float(alpha), factor
        scores[i] = error
    return *equations._finish(best_factor), best_alpha, scores


class NormalEquations:
    """Sums over captions that determine ridge at any strength, added up batch by batch.

    However the captions are cut into batches, the answer is that of `fit_ridge` on all of them, up to
    rounding. The sums take n_features * (n_features + n_outputs) numbers, whatever the number of captions.

    Attributes
    ----------
    n_captions : float
        Captions added so far, each counted as often as its weight says; so they are in all sums below.
    gram : ndarray of shape (n_features, n_features), dtype as the first batch
        Inner products of the columns of X.
    moment : ndarray of shape (n_features, n_outputs), dtype as the first batch
        Inner products of the columns of X and those of Y, the latter less `origin`.
    x_sum : ndarray of shape (n_features,), dtype float64
        Sums of the columns of X.
    y_sum : ndarray of shape (n_outputs,), dtype float64
        Sums of the columns of Y less `origin`.
    origin : ndarray of shape (n_outputs,), dtype as the first batch
        The first target. Sums of what differs from it lose fewer digits where targets are far from zero.

    References
    ----------
    Chan, Golub and LeVeque, "Algorithms for Computing the Sample Variance: Analysis and Recommendations",
    The American Statistician 37, 1983, for the origin.

    Examples
    --------
    >>> import numpy as np
    >>> from txt2img.mapping.closed_form import NormalEquations, fit_ridge
    >>> X, Y = np.eye(4, 2), np.arange(4.0)[:, None]
    >>> equations = NormalEquations()
    >>> for rows in (slice(0, 1), slice(1, 4)):
    ...     weights, intercept = equations.update(X[rows], Y[rows]).solve(0.5)
    >>> bool(np.allclose(weights, fit_ridge(X, Y, 0.5)[0]))
    True
    """

    def __init__(self) -> None:
        self.n_captions = 0.0

    def update(self, X: Matrix, Y: Array, weight: Array | None = None) -> Self:
        """Add captions.

        Parameters
        ----------
        X : ndarray or CSR matrix of shape (n_captions, n_features), dtype float32 or float64
            Vectors of the captions.
        Y : ndarray of shape (n_captions, n_outputs), dtype as X
            Targets.
        weight : ndarray of shape (n_captions,), dtype as X, default=None
            Weight of each caption, greater than 0; by default 1.

        Returns
        -------
        self : NormalEquations
            The sums.
        """
        if not self.n_captions:
            n_features, n_outputs = X.shape[1], Y.shape[1]
            self.gram = np.zeros((n_features, n_features), X.dtype)
            self.moment = np.zeros((n_features, n_outputs), X.dtype)
            self.x_sum, self.y_sum = np.zeros(n_features), np.zeros(n_outputs)
            self.origin = Y[0].copy()
        X, root = _weighted(X, weight)
        columns, shifted = _ColumnBlocks(X), Y - self.origin
        shifted *= root[:, None]
        columns.add_gram(self.gram)
        self.moment += columns.transposed_product(shifted)
        self.x_sum += columns.transposed_product(root)
        shifted *= root[:, None]
        self.y_sum += shifted.sum(axis=0, dtype=np.float64)
        self.n_captions += _squared_length(root)
        return self

    def solve(self, alpha: float) -> tuple[Array, Array]:
        """Fit ridge to the captions added so far.

        Parameters
        ----------
        alpha : float
            Strength of the penalty, greater than 0.

        Returns
        -------
        weights : ndarray of shape (n_features, n_outputs), dtype as the first batch
            As from `fit_ridge`.
        intercept : ndarray of shape (n_outputs,), dtype as the first batch
            As from `fit_ridge`.
        """
        return self._finish(self._factor(alpha))

    def _factor(self, alpha: float) -> Factor:
        rank_one_update = linalg.get_blas_funcs("syr", (self.gram,))
        mean = self.x_sum / self.n_captions
        return _factor(rank_one_update(-self.n_captions, mean, lower=True, a=self.gram.T), alpha)

    def _finish(self, factor: Factor) -> tuple[Array, Array]:
        dtype = self.moment.dtype
        x_mean, y_mean = self.x_sum / self.n_captions, self.y_sum / self.n_captions
        moment = self.moment - np.outer(self.x_sum.astype(dtype), y_mean.astype(dtype))
        weights = np.ascontiguousarray(_solve(factor, moment))
        return weights, _intercept(weights, x_mean, y_mean + self.origin)

    def _residual_function(
        self,
        X: Matrix,
        Y: Array,
        weight: Array | None,
        n_probes: int,
        random_state: np.random.RandomState,
    ) -> Residuals:
        """Return a function of factor and alpha: residuals of mixed targets, and of two sets of probes.

        Residuals are times the root of the weight, here and below.
        """
        X, root = _weighted(X, weight)
        columns = _ColumnBlocks(X)
        targets = root[:, None] * _mixed(Y, random_state)
        noise = random_state.standard_normal((len(Y), 2 * n_probes)).astype(Y.dtype)
        weight_noise = random_state.standard_normal((X.shape[1], 2 * n_probes)).astype(Y.dtype)
        n_targets = targets.shape[1]
        targets = _centred(np.hstack([targets, noise]), root)
        moment = columns.transposed_product(targets)

        def residuals(factor: Factor, alpha: float) -> Sequence[Array]:
            right = moment.copy()
            right[:, n_targets:] += np.sqrt(alpha) * weight_noise
            fitted = _centred(columns.product(_solve(factor, right)), root)
            left = np.subtract(targets, fitted, out=fitted)
            return np.split(left, [n_targets, n_targets + n_probes], axis=1)

        return residuals


class _KernelEquations:
    """The dual of `NormalEquations`: inner products of captions, of all at once."""

    def __init__(self, X: Matrix, Y: Array, weight: Array | None = None) -> None:
        X, self.root = _weighted(X, weight)
        self.n_captions = _squared_length(self.root)
        self.columns = _ColumnBlocks(X)
        self.kernel = _centred(_centred(self.columns.kernel(), self.root).T, self.root)
        self.y_mean = np.average(Y, axis=0, weights=self.root.astype(np.float64) ** 2)
        self.targets = self.root[:, None] * (Y - self.y_mean.astype(Y.dtype))

    def solve(self, alpha: float) -> tuple[Array, Array]:
        return self._finish(self._factor(alpha))

    def _factor(self, alpha: float) -> Factor:
        return _factor(self.kernel.copy(order="F"), alpha)

    def _finish(self, factor: Factor) -> tuple[Array, Array]:
        weights = self.columns.transposed_product(_solve(factor, self.targets))
        x_mean = self.columns.transposed_product(self.root) / self.n_captions
        return weights, _intercept(weights, x_mean, self.y_mean)

    def _residual_function(
        self,
        X: Matrix,
        Y: Array,
        weight: Array | None,
        n_probes: int,
        random_state: np.random.RandomState,
    ) -> Residuals:
        """Return a function like that of `NormalEquations`; without `n_probes`, of one set that is exact."""
        targets, noise = self.targets, np.eye(len(Y), dtype=Y.dtype)
        if n_probes:
            targets = _mixed(targets, random_state)
            noise = random_state.standard_normal((len(Y), 2 * n_probes)).astype(Y.dtype)

        def residuals(factor: Factor, alpha: float) -> Sequence[Array]:
            probes = linalg.solve_triangular(factor[0], noise, trans="T", lower=True, check_finite=False)
            probes = _centred(np.sqrt(alpha) * probes, self.root)
            return alpha * _solve(factor, targets), *np.split(probes, 2 if n_probes else 1, axis=1)

        return residuals


class _ColumnBlocks:
    """Products of a matrix split by `split_columns`."""

    def __init__(self, X: Matrix) -> None:
        self.shape, self.dtype = X.shape, X.dtype
        self.blocks = split_columns(X)

    def product(self, weights: Array) -> Array:
        return reduce(np.add, (block @ weights[columns] for columns, block in self.blocks))

    def transposed_product(self, right: Array) -> Array:
        if len(self.blocks) == 1:
            return self.blocks[0][1].T @ right
        result = np.empty((self.shape[1], *right.shape[1:]), self.dtype)
        for columns, block in self.blocks:
            result[columns] = block.T @ right
        return result

    def kernel(self) -> Array:
        return reduce(np.add, (_dense(block @ block.T) for _, block in self.blocks))

    def add_gram(self, gram: Array) -> None:
        """Add the inner products of the columns, of sparse ones no more than are not zero."""
        entries = gram.reshape(-1)
        for rows, left in self.blocks:
            for columns, right in self.blocks:
                product = left.T @ right
                if isinstance(product, np.ndarray):
                    gram[np.ix_(rows, columns)] += product
                    continue
                product = product.tocoo()
                for start in range(0, product.nnz, 2**20):
                    part = slice(start, start + 2**20)
                    places = rows[product.row[part]] * len(gram) + columns[product.col[part]]
                    entries[places] += product.data[part]


def _dense(matrix: Matrix) -> Array:
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


def _weighted(X: Matrix, weight: Array | None) -> tuple[Matrix, Array]:
    """Multiply rows by the roots of their weights, which makes least squares weighted; give these too."""
    if weight is None:
        return X, np.ones(X.shape[0], X.dtype)
    root = np.sqrt(weight)
    return sp.diags(root) @ X, root


def _squared_length(root: Array) -> float:
    return float(np.sum(root.astype(np.float64) ** 2))


def _centred(array: Array, root: Array) -> Array:
    """Subtract weighted means of the columns, in place, from rows that are times the roots of weights."""
    mean = np.einsum("i,ij->j", root, array, dtype=np.float64) / _squared_length(root)
    array -= np.outer(root, mean.astype(array.dtype))
    return array


def _mixed(Y: Array, random_state: np.random.RandomState) -> Array:
    """Replace many outputs by a few random mixtures, with the same mean square on average."""
    if Y.shape[1] <= MIXTURES:
        return Y
    return Y @ random_state.normal(scale=Y.shape[1] ** -0.5, size=(Y.shape[1], MIXTURES)).astype(Y.dtype)


def _factor(matrix: Array, alpha: float) -> Factor:
    """Factorise a symmetric matrix, in Fortran's order, plus alpha on its diagonal, overwriting it."""
    matrix[np.diag_indices_from(matrix)] += alpha
    return linalg.cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)


def _solve(factor: Factor, right: Array) -> Array:
    return linalg.cho_solve(factor, right, check_finite=False)


def _intercept(weights: Array, x_mean: Array, y_mean: Array) -> Array:
    return (y_mean - x_mean.astype(weights.dtype) @ weights).astype(weights.dtype)


def _rows_by_size(groups: ArrayLike) -> list[Array]:
    """Give the rows of each photograph, in one array of shape (photographs, captions) for each count."""
    _, photograph, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order, starts = np.argsort(photograph, kind="stable"), np.cumsum(counts) - counts
    return [order[starts[counts == n][:, None] + np.arange(n)] for n in np.unique(counts)]


def _left_out_error(photographs: list[Array], residuals: Array, *probes: Array) -> float:
    """Sum over captions of the mean square of (I - H_gg)⁻¹ E_g, from the residuals E and probes of I - H."""
    total = 0.0
    for rows in photographs:
        products = _inner_products(residuals[rows])
        for half in (probes[0], probes[-1]):
            freedom = half.shape[1] - rows.shape[1] - 1 if len(probes) > 1 else 1
            products = freedom * np.linalg.solve(_inner_products(half[rows]), products)
        total += np.trace(products, axis1=1, axis2=2).sum()
    return total / residuals.shape[1]


def _inner_products(blocks: Array) -> Array:
    return (blocks @ blocks.swapaxes(1, 2)).astype(np.float64)


def check_alphas(alphas: ArrayLike) -> Array:
    """Check that strengths of ridge regression are positive, and make an array of them."""
    alphas = np.asarray(alphas, np.float64)
    if alphas.ndim != 1 or len(alphas) == 0 or not (np.isfinite(alphas) & (alphas > 0)).all():
        raise ValueError(f"alpha={alphas.tolist()!r} must be a positive number, several of them, or 'auto'")
    return alphas
