"""Ridge regression in closed form, for sparse inputs and many outputs."""

import numpy as np
import scipy.sparse as sp
from scipy import linalg

# Share of entries that are not zero above which a column of a sparse matrix is cheaper as an array.
DENSE_COLUMN = 0.1


def fit_ridge(X, Y, alpha):
    """Find the weights that minimise ||Y - XW - b||² + alpha ||W||².

    The inputs are centred without being made dense. Where there are at least as many captions as
    columns the normal equations are solved in the space of the columns (Gram matrix), else in the space
    of the captions (kernel matrix), in both cases by one Cholesky factorisation for all outputs.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n_captions, n_features), dtype float32 or float64
        Vectors of the captions.
    Y : ndarray of shape (n_captions, n_outputs), dtype as X
        Targets.
    alpha : float
        Strength of the penalty, greater than 0.

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
    order, blocks = _column_blocks(X)
    n_captions, n_features = X.shape
    x_mean = np.concatenate([np.asarray(block.mean(axis=0)).ravel() for block in blocks]).astype(X.dtype)
    y_mean = Y.mean(axis=0)
    centred = Y - y_mean
    if n_captions >= n_features:
        gram = np.block([[_dense(left.T @ right) for right in blocks] for left in blocks])
        gram -= np.outer(n_captions * x_mean, x_mean)
        moment = np.concatenate([block.T @ centred for block in blocks])
        weights = _solve_positive(gram, moment, alpha)
    else:
        kernel = sum(_dense(block @ block.T) for block in blocks)
        row_mean = kernel.mean(axis=1)
        kernel = kernel - row_mean - row_mean[:, None] + row_mean.mean()
        dual = _solve_positive(kernel, centred, alpha)
        weights = np.concatenate([block.T @ dual for block in blocks]) - np.outer(x_mean, dual.sum(axis=0))
    intercept = y_mean - x_mean @ weights
    unsorted = np.empty_like(weights)
    unsorted[order] = weights
    return unsorted, intercept


def _column_blocks(X):
    """Split a sparse X into its sparse columns and its nearly full ones, each in its faster form.

    TF-IDF beside a sentence embedding is such a matrix. Returns the order of the columns and the blocks.
    """
    if not sp.issparse(X):
        return np.arange(X.shape[1]), [X]
    filled = np.bincount(X.indices, minlength=X.shape[1]) > DENSE_COLUMN * X.shape[0]
    order = np.argsort(filled, kind="stable")
    few = X[:, order[: int((~filled).sum())]]
    many = X[:, order[few.shape[1] :]].toarray()
    return order, [block for block in (few, many) if block.shape[1]]


def _dense(matrix):
    return matrix.toarray() if sp.issparse(matrix) else matrix


def _solve_positive(matrix, right, alpha):
    matrix[np.diag_indices_from(matrix)] += alpha
    # Its own transpose, and as such in the order that LAPACK overwrites without a copy.
    factor = linalg.cho_factor(matrix.T, lower=True, overwrite_a=True, check_finite=False)
    return linalg.cho_solve(factor, right, check_finite=False)
