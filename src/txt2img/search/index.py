"""ImageIndex: the photographs whose descriptors are nearest."""

import warnings
from functools import cached_property
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.preprocessing import normalize
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from txt2img.search.hubness import csls_bias, softmax_bias
from txt2img.search.inputs import check_k
from txt2img.search.top_k import top_k

BLOCK_BYTES = 2**26


class ImageIndex(BaseEstimator):
    """Find the photographs whose descriptors are nearest to a predicted descriptor, exactly.

    Parameters
    ----------
    metric : {"cosine", "euclidean", "inner_product"}, default="cosine"
        What near means. The score is the cosine, the negative distance, or the inner product, so that
        greater is always better.
    hubness : {"csls", "softmax"} or None, default=None
        Correction for photographs that come near to almost every query, by one bias a photograph that
        is added to the score. It compares the photograph with a `bank` of typical queries, given to
        `fit`. Not for the Euclidean metric.

        - ``"csls"``: cross-domain similarity local scaling; the bias is minus half the mean similarity
          to the nearest queries of the bank.
        - ``"softmax"``: inverted softmax; the bias is minus the soft maximum of the similarities to all
          queries of the bank.
    hubness_neighbors : int, default=10
        How many of the nearest queries of the bank ``"csls"`` looks at.
    hubness_temperature : float, default=0.05
        How soft the maximum of ``"softmax"`` is, in the unit of the similarities. The default is for
        cosines.
    n_neighbors : int, default=5
        Photographs that `kneighbors` finds unless told otherwise.

    Attributes
    ----------
    ids_ : ndarray of shape (n_photographs,)
        Id of each photograph, in the order of the rows.
    descriptors_ : ndarray of shape (n_photographs, n_features), dtype float32
        Descriptors, of length 1 if the metric is the cosine.
    bias_ : ndarray of shape (n_photographs,), dtype float32, or None
        What the hubness correction adds to the scores.
    bank_ : ndarray of shape (n_bank, n_features), dtype float32, or None
        Typical queries from which the bias of photographs added later is computed.
    n_features_in_ : int
        Width of the descriptors.

    References
    ----------
    Conneau et al., "Word Translation Without Parallel Data", ICLR 2018 (CSLS).

    Smith et al., "Offline Bilingual Word Vectors, Orthogonal Transformations and the Inverted Softmax",
    ICLR 2017; Bogolin et al., "Cross Modal Retrieval with Querybank Normalisation", CVPR 2022.

    Examples
    --------
    >>> from txt2img import ImageIndex
    >>> index = ImageIndex().fit([[1, 0], [0, 1], [1, 1]], ids=["cat", "dog", "both"])
    >>> scores, ids = index.search([[0.1, 0.9]], k=2)
    >>> ids.tolist()
    [['dog', 'both']]
    """

    _parameter_constraints: dict = {
        "metric": [StrOptions({"cosine", "euclidean", "inner_product"})],
        "hubness": [StrOptions({"csls", "softmax"}), None],
        "hubness_neighbors": [Interval(Integral, 1, None, closed="left")],
        "hubness_temperature": [Interval(Real, 0, None, closed="neither")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        metric="cosine",
        *,
        hubness=None,
        hubness_neighbors=10,
        hubness_temperature=0.05,
        n_neighbors=5,
    ):
        self.metric = metric
        self.hubness = hubness
        self.hubness_neighbors = hubness_neighbors
        self.hubness_temperature = hubness_temperature
        self.n_neighbors = n_neighbors

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, ids=None, bank=None):
        """Take in photographs, in place of any taken in before.

        Parameters
        ----------
        X : array-like of shape (n_photographs, n_features)
            Descriptors. A row that is NaN all through, as a photograph that could not be read leaves
            it, is left out with a warning.
        y : None
            Ignored.
        ids : sequence of hashables of length n_photographs, default=None
            Name of each photograph, such as its path; all different. By default 0, 1, 2, ...
        bank : array-like of shape (n_bank, n_features), default=None
            Predicted descriptors of typical queries, such as the training captions. Needed for a
            hubness correction.

        Returns
        -------
        self : ImageIndex
            The filled index.

        Raises
        ------
        ValueError
            If ids are of another number than descriptors or not all different, a row is NaN in part,
            or the bank is missing or of another width.
        """
        if self.hubness is not None and self.metric == "euclidean":
            raise ValueError(
                f'hubness={self.hubness!r} does not go with metric="euclidean": take metric="cosine"'
            )
        if self.hubness is not None and bank is None:
            raise ValueError(
                f"hubness={self.hubness!r} needs bank: pass the predicted descriptors of training captions"
            )
        X, ids = self._check_rows(X, ids, first_id=0, reset=True)
        self.bank_ = None
        if self.hubness is not None:
            self.bank_ = self._prepare(self._check_queries(np.array(bank, dtype=np.float32), name="bank"))
        self.descriptors_ = self._prepare(X)
        self.bias_ = self._bias_of(self.descriptors_)
        self._set_ids(ids)
        return self

    def add(self, X, *, ids=None):
        """Take in further photographs.

        Parameters
        ----------
        X : array-like of shape (n_photographs, n_features)
            Descriptors; rows of NaN are left out with a warning.
        ids : sequence of hashables of length n_photographs, default=None
            Name of each photograph, none of them in the index yet. By default the numbers from the
            greatest number in the index on.

        Returns
        -------
        self : ImageIndex
            The index with the photographs in it; unchanged if an error is raised.

        Raises
        ------
        ValueError
            If an id is in the index already, or as in `fit`.
        """
        check_is_fitted(self)
        first_id = max((id for id in self.ids_.tolist() if isinstance(id, int)), default=-1) + 1
        X, ids = self._check_rows(X, ids, first_id=first_id, reset=False)
        known = [id for id in ids if id in self._row_of]
        if known:
            raise ValueError(
                f"ids holds {len(known)} ids that are in the index already, such as {known[0]!r}: "
                "remove them first"
            )
        added = self._prepare(X)
        bias = self._bias_of(added)
        ids = [*self.ids_.tolist(), *ids]
        self.descriptors_ = np.concatenate([self.descriptors_, added])
        self.bias_ = None if bias is None else np.concatenate([self.bias_, bias])
        self._set_ids(ids)
        return self

    def remove(self, ids):
        """Take photographs out.

        Parameters
        ----------
        ids : sequence of hashables
            Ids of the photographs.

        Returns
        -------
        self : ImageIndex
            The index without them; unchanged if an error is raised.

        Raises
        ------
        KeyError
            If an id is not in the index.
        """
        check_is_fitted(self)
        ids = _as_id_list(ids)
        kept = np.ones(len(self), bool)
        kept[self.rows_of(ids)] = False
        self.descriptors_ = self.descriptors_[kept]
        self.bias_ = None if self.bias_ is None else self.bias_[kept]
        self._set_ids(self.ids_[kept].tolist())
        return self

    def search(self, X, k=5, *, correction=1.0):
        """Find the k best photographs for each query.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Predicted descriptors.
        k : int, default=5
            How many photographs to find, at most as many as there are.
        correction : float or array-like of shape (n_queries,), default=1.0
            How much of the hubness correction each query gets. It is meant for queries like those of the
            bank: descriptors of photographs as queries are better off with 0.

        Returns
        -------
        scores : ndarray of shape (n_queries, k), dtype float32
            In falling order.
        ids : ndarray of shape (n_queries, k)
            Ids of the photographs; of equal scores the one taken in first comes first.

        Raises
        ------
        ValueError
            If k is larger than the gallery, the queries are of another width than the index, or hold NaN.
        NotFittedError
            If no photographs were taken in yet.
        """
        scores, rows = self._search_rows(X, k, correction)
        return scores, self.ids_[rows]

    def predict(self, X):
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

    def kneighbors(self, X, n_neighbors=None, return_distance=True):
        """Find nearest neighbours as scikit-learn's estimators do.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Predicted descriptors.
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
        scores, rows = self._search_rows(X, self.n_neighbors if n_neighbors is None else n_neighbors)
        if not return_distance:
            return rows
        return (1 - scores if self.metric == "cosine" else -scores), rows

    def rows_of(self, ids):
        """Give the rows in which photographs are.

        Parameters
        ----------
        ids : sequence of hashables of length n
            Ids of photographs.

        Returns
        -------
        ndarray of shape (n,), dtype intp
            Rows, as in `descriptors_`.

        Raises
        ------
        KeyError
            If an id is not in the index.
        """
        check_is_fitted(self)
        ids = _as_id_list(ids)
        unknown = [id for id in ids if id not in self._row_of]
        if unknown:
            raise KeyError(f"ids holds {len(unknown)} ids that are not in the index, such as {unknown[0]!r}")
        return np.array([self._row_of[id] for id in ids], np.intp)

    def score_factors(self, X):
        """Give the factors of the matrix by which photographs are ranked, for evaluations.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Predicted descriptors.

        Returns
        -------
        queries : ndarray of shape (n_queries, n_features), dtype float32
            Prepared queries.
        gallery : ndarray of shape (n_photographs, n_features), dtype float32
            Prepared descriptors.
        bias : ndarray of shape (n_photographs,), dtype float32, or None
            ``queries @ gallery.T + bias`` ranks the photographs of each query as `search` does.
        """
        check_is_fitted(self)
        queries = self._prepare(self._check_queries(X))
        if self.metric != "euclidean":
            return queries, self.descriptors_, self.bias_
        return 2 * queries, self.descriptors_, -np.einsum("ij,ij->i", self.descriptors_, self.descriptors_)

    def __len__(self):
        """Return the number of photographs."""
        return len(self.ids_) if hasattr(self, "ids_") else 0

    def _search_rows(self, X, k, correction=1.0):
        queries, gallery, bias = self.score_factors(X)
        _check_k(k, len(self))
        # The bias of the Euclidean metric is part of the distance, and corrects nothing.
        share = np.asarray(1 if self.bias_ is None else correction, dtype=np.float32)
        if share.shape not in ((), (len(queries),)):
            raise ValueError(
                f"correction has shape {share.shape}: pass one number, or one for each of the "
                f"{len(queries)} queries"
            )
        share = np.broadcast_to(share, len(queries))[:, None]
        scores = np.empty((len(queries), k), np.float32)
        rows = np.empty((len(queries), k), np.intp)
        step = max(1, BLOCK_BYTES // (4 * max(1, len(gallery))))
        for start in range(0, len(queries), step):
            block = queries[start : start + step] @ gallery.T
            if bias is not None:
                block += share[start : start + step] * bias
            scores[start : start + step], rows[start : start + step] = top_k(block, k)
        if self.metric == "euclidean":
            squared = np.einsum("ij,ij->i", queries, queries)[:, None] / 4 - scores
            scores = -np.sqrt(np.maximum(squared, 0))
        return scores, rows

    def _check_rows(self, X, ids, *, first_id, reset):
        # The cosine makes an array of its own anyway; without a copy the index would follow the caller's.
        copy = self.metric != "cosine"
        X = validate_data(self, X, dtype=np.float32, ensure_all_finite=False, reset=reset, copy=copy)
        n_photographs = len(X)
        ids = list(range(first_id, first_id + n_photographs)) if ids is None else _as_id_list(ids)
        if len(ids) != n_photographs:
            raise ValueError(
                f"ids has {len(ids)} entries but there are {n_photographs} descriptors: pass one id a row"
            )
        missing = np.isnan(X).all(axis=1)
        if not np.isfinite(X[~missing]).all():
            row = int(np.flatnonzero(~missing & ~np.isfinite(X).all(axis=1))[0])
            raise ValueError(
                f"the descriptor in row {row} of X (id {ids[row]!r}) holds NaN or infinity: leave the "
                "photograph out, or compute its descriptor again"
            )
        if missing.any():
            left_out = [id for id, gone in zip(ids, missing) if gone]
            warnings.warn(
                f"{len(left_out)} photographs without a descriptor are left out of the index: {left_out[:5]}",
                UserWarning,
                stacklevel=3,
            )
            X, ids = X[~missing], [id for id, gone in zip(ids, missing) if not gone]
        seen = set()
        for id in ids:
            if id in seen:
                raise ValueError(f"ids holds {id!r} more than once: give every photograph an id of its own")
            seen.add(id)
        return X, ids

    def _check_queries(self, X, name="X"):
        """Check queries lightly, as one query must not cost more to check than to answer."""
        X = np.asarray(X, dtype=np.float32)
        if X.ndim != 2:
            raise ValueError(
                f"{name} has {X.ndim} dimensions, shape {X.shape}. Reshape your data to "
                f"(n_queries, {self.n_features_in_}): one descriptor alone is X.reshape(1, -1)"
            )
        if X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"{name} has {X.shape[1]} features, but ImageIndex is expecting {self.n_features_in_} "
                "features as input: pass descriptors of the same space as those in the index"
            )
        if not np.isfinite(X).all():
            raise ValueError(f"{name} holds NaN or infinity: check the text that it was predicted from")
        return X

    def _prepare(self, X):
        return normalize(X) if self.metric == "cosine" and len(X) else X

    def _bias_of(self, descriptors):
        if self.hubness is None:
            return None
        if self.hubness == "csls":
            return csls_bias(self.bank_, descriptors, self.hubness_neighbors)
        return softmax_bias(self.bank_, descriptors, self.hubness_temperature)

    def _set_ids(self, ids):
        self.ids_ = _as_id_array(ids)
        self.__dict__.pop("_row_of", None)

    @cached_property
    def _row_of(self):
        return {id: row for row, id in enumerate(self.ids_.tolist())}

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "_row_of"}


def _as_id_list(ids):
    if isinstance(ids, str | bytes):
        raise ValueError(f"ids={ids!r} is one id: pass a list of ids")
    return [id.item() if isinstance(id, np.generic) else id for id in ids]


def _as_id_array(ids):
    if all(type(id) is int and -(2**63) <= id < 2**63 for id in ids):
        return np.array(ids, dtype=np.int64)
    array = np.empty(len(ids), dtype=object)
    array[:] = ids
    return array


def _check_k(k, n_gallery):
    check_k(k)
    if k > n_gallery:
        raise ValueError(
            f"k={k} is larger than the gallery of {n_gallery} photographs: ask for at most {n_gallery}, "
            "or add photographs"
        )
