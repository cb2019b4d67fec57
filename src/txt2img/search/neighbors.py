"""Nearest neighbours as scikit-learn's estimators give them."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags

from txt2img._types import Array
from txt2img.search.finding import finder
from txt2img.search.rows import check_shares


# Of scikit-learn's mixins, which are untyped, mypy does not know that they take auto_wrap_output_keys.
class NeighborsMixin(  # type: ignore[call-arg]
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, auto_wrap_output_keys=None
):
    """What an index does as an estimator of scikit-learn, on top of its search.

    Where X is None, each photograph of the index is a query and is not its own neighbour.
    """

    def predict(self, X: ArrayLike) -> Array:
        """Find the id of the best photograph for each query.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Predicted descriptors.

        Returns
        -------
        ndarray of shape (n_queries,)
            Ids.
        """
        return self.search(X, k=1)[1][:, 0]

    def kneighbors(
        self, X: ArrayLike | None = None, n_neighbors: int | None = None, return_distance: bool = True
    ) -> Array | tuple[Array, Array]:
        """Find nearest neighbours as scikit-learn's estimators do.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), default=None
            Predicted descriptors. By default the photographs themselves, none its own neighbour; with no
            hubness correction, which is for predicted descriptors.
        n_neighbors : int, default=None
            How many to find; by default the parameter `n_neighbors`.
        return_distance : bool, default=True
            Whether to return the distances too.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors), dtype float32
            Only if `return_distance`: 1 - score for the cosine, else the negative score.
        rows : ndarray of shape (n_queries, n_neighbors), dtype intp
            Rows of the photographs in the index.
        """
        n_neighbors = self.n_neighbors if n_neighbors is None else n_neighbors
        if X is not None:
            scores, rows = self._search_rows(X, n_neighbors)
        else:
            scores, rows = self._search_rows(self.descriptors_, n_neighbors + 1, correction=0.0)
            other = rows != np.arange(len(rows))[:, None]
            other[other.all(axis=1), -1] = False  # of several equal photographs it may not be its own best
            shape = (len(rows), n_neighbors)
            scores, rows = scores[other].reshape(shape), rows[other].reshape(shape)
        if not return_distance:
            return rows
        return (1 - scores if self.metric == "cosine" else -scores), rows

    def kneighbors_graph(
        self, X: ArrayLike | None = None, n_neighbors: int | None = None, mode: str = "connectivity"
    ) -> sp.csr_matrix:
        """Give nearest neighbours as a sparse matrix, from queries to photographs.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), default=None
            Predicted descriptors; by default the photographs themselves, none its own neighbour.
        n_neighbors : int, default=None
            How many to find; by default the parameter `n_neighbors`.
        mode : {"connectivity", "distance"}, default="connectivity"
            Whether the matrix holds ones or distances.

        Returns
        -------
        csr_matrix of shape (n_queries, n_photographs), dtype float32
            The neighbours of each row, the nearest first.

        Raises
        ------
        ValueError
            If there is no such mode, or as in `search`.
        """
        if mode not in ("connectivity", "distance"):
            raise ValueError(f"mode={mode!r} must be 'connectivity' or 'distance'")
        distances, rows = self.kneighbors(X, n_neighbors)
        values = distances if mode == "distance" else np.ones_like(distances)
        starts = np.arange(0, rows.size + 1, rows.shape[1])
        return sp.csr_matrix((values.ravel(), rows.ravel(), starts), shape=(len(rows), len(self)))

    def transform(self, X: ArrayLike) -> sp.csr_matrix:
        """Give the distances of the nearest photographs, as a step in the middle of a pipeline.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Predicted descriptors.

        Returns
        -------
        csr_matrix of shape (n_queries, n_photographs), dtype float32
            As `kneighbors_graph` gives it with ``mode="distance"``.
        """
        return self.kneighbors_graph(X, mode="distance")

    @property
    def _n_features_out(self) -> int:
        return len(self)

    def _search_rows(self, X: ArrayLike, k: int, correction: float = 1.0) -> tuple[Array, Array]:
        """Search for scores and rows; the scores of a query do not depend on what else is asked."""
        find, _ = finder(self, X, k, correction)
        _, slots, _ = find(k)
        queries = self._prepare(np.asarray(X, np.float32))
        scores = self._backend.scores_at(queries, slots, check_shares(self, correction, len(queries)))
        return self._public(scores), self._catalogue.rows_of(slots)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags
