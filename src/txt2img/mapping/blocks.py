"""Text vectors with sparse and nearly full columns, each in its faster form."""

import numpy as np
import scipy.sparse as sp

from txt2img._types import Array, Matrix

# Share of entries that are not zero above which a column of a sparse matrix is cheaper as an array.
DENSE_COLUMN = 0.1


def split_columns(X: Matrix) -> list[tuple[Array, Matrix]]:
    """Split a sparse X into its sparse columns and its nearly full ones.

    TF-IDF beside a sentence embedding is such a matrix.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n_captions, n_features)
        Vectors of the captions.

    Returns
    -------
    list of (ndarray of int, ndarray or csr_matrix)
        Columns of X, and X at these columns; blocks without columns are left out.
    """
    if not sp.issparse(X):
        return [(np.arange(X.shape[1]), X)]
    X = sp.csr_matrix(X)
    filled = np.bincount(X.indices, minlength=X.shape[1]) > DENSE_COLUMN * X.shape[0]
    if not filled.any():
        return [(np.arange(X.shape[1]), X)]
    few, many = np.flatnonzero(~filled), np.flatnonzero(filled)
    return [
        (columns, block)
        for columns, block in ((few, X[:, few]), (many, X[:, many].toarray()))
        if len(columns)
    ]
