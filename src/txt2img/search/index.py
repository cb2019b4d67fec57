"""ImageIndex: the photographs whose descriptors are nearest."""

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from txt2img._callbacks import CallbackSupportMixin, one_task
from txt2img._doc_link import DocLinkMixin
from txt2img._types import Array
from txt2img._vectors import unit_rows
from txt2img.persistence import SaveMixin
from txt2img.search.backends import Backend, new_backend
from txt2img.search.catalogue import Catalogue, Ids, Metadata, Where, as_columns, as_id_list
from txt2img.search.duplicates import find_groups
from txt2img.search.finding import finder
from txt2img.search.hubness import csls_bias, softmax_bias
from txt2img.search.neighbors import NeighborsMixin
from txt2img.search.rows import check_queries, check_rows

# Once more slots than these are empty, and as many as full ones, they are closed up.
MOST_REMOVED = 1000


class ImageIndex(  # type: ignore[call-arg]
    CallbackSupportMixin, DocLinkMixin, NeighborsMixin, SaveMixin, BaseEstimator, auto_wrap_output_keys=None
):
    """Find the photographs whose descriptors are nearest to a predicted descriptor.

    Parameters
    ----------
    metric : {"cosine", "euclidean", "inner_product"}, default="cosine"
        What near means. The score is the cosine, the negative distance, or the inner product, so that
        greater is always better.
    backend : {"exact", "faiss", "milvus"}, default="exact"
        What stores the descriptors and finds the best of them.

        - ``"exact"``: every photograph is compared, blockwise, in memory or from disk.
        - ``"faiss"``: graphs and inverted lists of faiss, for millions on one machine; needs the extra
          ``faiss``.
        - ``"milvus"``: a file of Milvus Lite, or a Milvus cluster; needs the extra ``milvus``.
    backend_params : dict, default=None
        What the backend takes beside, by name: see :class:`~txt2img.search.backends.faiss.FaissBackend` and
        :class:`~txt2img.search.backends.milvus.MilvusBackend`.
    dtype : {"float32", "float16", "int8"}, default="float32"
        Type in which descriptors are kept: 4, 2 or 1 bytes a number. Scores are computed in single
        precision from what is kept.
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
        Id of each photograph, in order of arrival: row by row.
    descriptors_ : ndarray of shape (n_photographs, n_features), dtype float32
        Descriptors as they are kept, of length 1 if the metric is the cosine.
    bias_ : ndarray of shape (n_photographs,), dtype float32, or None
        What the hubness correction adds to the scores.
    metadata_ : dict of str to ndarray of shape (n_photographs,)
        Columns beside the ids.
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

    _parameter_constraints: dict[str, Any] = {
        "metric": [StrOptions({"cosine", "euclidean", "inner_product"})],
        "backend": [StrOptions({"exact", "faiss", "milvus"})],
        "backend_params": [dict, None],
        "dtype": [StrOptions({"float32", "float16", "int8"})],
        "hubness": [StrOptions({"csls", "softmax"}), None],
        "hubness_neighbors": [Interval(Integral, 1, None, closed="left")],
        "hubness_temperature": [Interval(Real, 0, None, closed="neither")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        metric: str = "cosine",
        *,
        backend: str = "exact",
        backend_params: dict[str, Any] | None = None,
        dtype: str = "float32",
        hubness: str | None = None,
        hubness_neighbors: int = 10,
        hubness_temperature: float = 0.05,
        n_neighbors: int = 5,
    ) -> None:
        self.metric = metric
        self.backend = backend
        self.backend_params = backend_params
        self.dtype = dtype
        self.hubness = hubness
        self.hubness_neighbors = hubness_neighbors
        self.hubness_temperature = hubness_temperature
        self.n_neighbors = n_neighbors

    @_fit_context(prefer_skip_nested_validation=True)
    @one_task
    def fit(
        self,
        X: ArrayLike,
        y: object = None,
        *,
        ids: Ids | None = None,
        bank: ArrayLike | None = None,
        metadata: Metadata | None = None,
    ) -> Self:
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
        metadata : dict of str to sequence of length n_photographs, or DataFrame, default=None
            What else is known of the photographs, such as the year, for conditions in `search`.

        Returns
        -------
        self : ImageIndex
            The filled index.

        Raises
        ------
        ValueError
            If ids or metadata are of another number than descriptors, ids are not all different, a row is
            NaN in part, or the bank is missing or of another width.
        """
        if self.hubness is not None and self.metric == "euclidean":
            raise ValueError(
                f'hubness={self.hubness!r} does not go with metric="euclidean": take metric="cosine"'
            )
        if self.hubness is not None and bank is None:
            raise ValueError(
                f"hubness={self.hubness!r} needs bank: pass the predicted descriptors of training captions"
            )
        X, ids, columns = check_rows(self, X, ids, metadata, reset=True)
        self.bank_: Array | None = None
        if self.hubness is not None:
            self.bank_ = self._prepare(
                check_queries(np.array(bank, dtype=np.float32), self.n_features_in_, "bank")
            )
        backend = self._new_backend()
        descriptors = self._prepare(X)
        backend.add(descriptors, self._bias_of(descriptors))
        self._backend, self._catalogue = backend, Catalogue(ids, columns)
        return self

    def add(self, X: ArrayLike, *, ids: Ids | None = None, metadata: Metadata | None = None) -> Self:
        """Take in further photographs.

        Parameters
        ----------
        X : array-like of shape (n_photographs, n_features)
            Descriptors; rows of NaN are left out with a warning.
        ids : sequence of hashables of length n_photographs, default=None
            Name of each photograph, none of them in the index yet. By default the numbers from the
            greatest number in the index on.
        metadata : dict of str to sequence of length n_photographs, or DataFrame, default=None
            The same columns as `fit` was given.

        Returns
        -------
        self : ImageIndex
            The index with the photographs in it; unchanged if an error is raised.

        Raises
        ------
        ValueError
            If an id is in the index already, a column is missing, or as in `fit`.
        """
        check_is_fitted(self)
        first_id = self._catalogue.first_free_number() if ids is None else 0
        X, ids, columns = check_rows(self, X, ids, metadata, first_id=first_id)
        self._catalogue.check_new(ids, columns)
        if ids:
            descriptors = self._prepare(X)
            with self._changed() as (backend, catalogue):
                backend.add(descriptors, self._bias_of(descriptors))
                catalogue.add(ids, columns)
        return self

    def update(self, ids: Ids, X: ArrayLike | None = None, *, metadata: Metadata | None = None) -> Self:
        """Change the descriptors of photographs, their metadata, or both; they keep their places.

        Parameters
        ----------
        ids : sequence of hashables of length n
            Ids of photographs in the index, all different.
        X : array-like of shape (n, n_features), default=None
            Their new descriptors.
        metadata : dict of str to sequence of length n, or DataFrame, default=None
            New values of some of the columns.

        Returns
        -------
        self : ImageIndex
            The index; unchanged if an error is raised.

        Raises
        ------
        KeyError
            If an id is not in the index.
        ValueError
            If an id is named twice, a row of X holds NaN, or a column is not in the index.
        """
        check_is_fitted(self)
        ids = as_id_list(ids)
        slots, columns = self._catalogue.slots_of(ids), as_columns(metadata, len(ids))
        if len(np.unique(slots)) < len(slots):
            raise ValueError("ids holds an id more than once: name every photograph once")
        self._catalogue.check_changed(columns)
        catalogue = self._catalogue.fork()
        catalogue.change(slots, columns)
        if X is not None:
            descriptors = self._prepare(check_rows(self, X, ids, unreadable="refuse")[0])
            self._backend.update(slots, descriptors, self._bias_of(descriptors))
        self._catalogue = catalogue
        return self

    def remove(self, ids: Ids) -> Self:
        """Take photographs out.

        Their descriptors are let go of when there are as many removed photographs as others, or by
        `compact`.

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
        slots = np.unique(self._catalogue.slots_of(as_id_list(ids)))
        with self._changed() as (backend, catalogue):
            backend.remove(slots)
            catalogue.remove(slots)
            if not backend.forgets and catalogue.n_removed > max(MOST_REMOVED, len(catalogue)):
                backend.compact(catalogue.slots)
                catalogue.compact()
        return self

    def compact(self) -> Self:
        """Let go of everything that is left of removed photographs.

        Returns
        -------
        self : ImageIndex
            The index, which answers as before.
        """
        self._check_fitted()
        if self._catalogue.n_removed:
            with self._changed() as (backend, catalogue):
                backend.compact(catalogue.slots)
                catalogue.compact()
        return self

    def search(
        self,
        X: ArrayLike,
        k: int = 5,
        *,
        correction: ArrayLike = 1.0,
        where: Where | None = None,
        group_duplicates: float | None = None,
        temperature: float | None = None,
    ) -> tuple[Array, ...]:
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
        where : dict, collection of ids, or mask of shape (n_photographs,), default=None
            Which photographs to look at.

            - A dict of conditions on columns of metadata, all of which are to hold: ``{"place": "Lima"}``,
              ``{"year": (">=", 2020)}``, ``{"place": ("in", ["Lima", "Quito"])}``,
              ``{"year": [(">=", 2000), ("<", 2010)]}``. The comparisons are ``== != < <= > >=``, ``in``
              and ``not in``.
            - Ids, as a set or list.
            - An array of bools in the order of `ids_`, such as ``index.metadata_["year"] % 2 == 0``.

            If fewer than k photographs are left, as many are found as there are.
        group_duplicates : float, default=None
            Cosine from which on two photographs are near-duplicates, such as 0.95. They come as one answer.
        temperature : float, default=None
            If given, probabilities are returned too: the softmax of score / temperature over the photographs
            that are looked at (of the negative squared distance, for the Euclidean metric).

        Returns
        -------
        scores : ndarray of shape (n_queries, k), dtype float32
            In falling order.
        ids : ndarray of shape (n_queries, k)
            Ids of the photographs; of equal scores the one taken in first comes first. With
            `group_duplicates` each entry is a tuple of ids, of the best photograph and its near-duplicates
            among those that score next; where there are fewer than k groups, empty ones with the score
            -inf follow.
        probabilities : ndarray of shape (n_queries, k), dtype float32
            Only with `temperature`; of a group the sum.

        Raises
        ------
        ValueError
            If k is larger than the gallery, the queries are of another width than the index, or hold NaN, or
            a condition does not fit the metadata.
        KeyError
            If `where` holds an id that is not in the index.
        NotFittedError
            If no photographs were taken in yet.
        """
        find, n_allowed = finder(self, X, k, correction, where, temperature)
        if group_duplicates is None:
            scores, slots, probabilities = find(min(k, n_allowed))
            ids = self._catalogue.ids_at(slots)
        else:
            scores, ids, probabilities = find_groups(
                find, k, n_allowed, self._backend.descriptors, self._catalogue.ids_at, group_duplicates
            )
        return (scores, ids) if probabilities is None else (scores, ids, probabilities)

    def rows_of(self, ids: Ids) -> Array:
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
        return self._catalogue.rows_of(self._catalogue.slots_of(as_id_list(ids)))

    def score_factors(self, X: ArrayLike) -> tuple[Array, Array, Array | None]:
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
            Prepared descriptors, all of them in memory.
        bias : ndarray of shape (n_photographs,), dtype float32, or None
            ``queries @ gallery.T + bias`` ranks the photographs of each query as `search` does.
        """
        self._check_fitted()
        queries, gallery = self._prepare(check_queries(X, self.n_features_in_)), self.descriptors_
        if self.metric != "euclidean":
            return queries, gallery, self.bias_
        return 2 * queries, gallery, -np.einsum("ij,ij->i", gallery, gallery)

    @property
    def ids_(self) -> Array:  # noqa: D102
        return self._catalogue.ids

    @property
    def metadata_(self) -> dict[str, Array]:  # noqa: D102
        return self._catalogue.columns

    @property
    def descriptors_(self) -> Array:  # noqa: D102
        return self._backend.descriptors(self._catalogue.filled_slots)

    @property
    def bias_(self) -> Array | None:  # noqa: D102
        return self._backend.bias(self._catalogue.filled_slots)

    def __len__(self) -> int:
        """Return the number of photographs."""
        return len(self._catalogue) if hasattr(self, "_catalogue") else 0

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_catalogue")

    def _check_fitted(self) -> None:
        """Look for what `fit` leaves, as scikit-learn's check takes longer than a search."""
        if not hasattr(self, "_catalogue"):
            check_is_fitted(self)

    @contextmanager
    def _changed(self) -> Iterator[tuple[Backend, Catalogue]]:
        """Give forks to be changed, and put both in place in one step if nothing went wrong."""
        backend, catalogue = self._backend.fork(), self._catalogue.fork()
        yield backend, catalogue
        self.__dict__.update(_backend=backend, _catalogue=catalogue)

    def _new_backend(self) -> Backend:
        return new_backend(
            self.backend,
            self.n_features_in_,
            euclidean=self.metric == "euclidean",
            has_bias=self.hubness is not None,
            dtype=self.dtype,
            **(self.backend_params or {}),
        )

    def _prepare(self, X: Array) -> Array:
        return unit_rows(X) if self.metric == "cosine" else X

    def _bias_of(self, descriptors: Array) -> Array | None:
        if (self.hubness is None) != (self.bank_ is None):
            raise ValueError(f"hubness={self.hubness!r} is not what the index was fitted with: fit it again")
        if self.bank_ is None:
            return None
        if self.hubness == "csls":
            return csls_bias(self.bank_, descriptors, self.hubness_neighbors)
        return softmax_bias(self.bank_, descriptors, self.hubness_temperature)

    def _public(self, scores: Array) -> Array:
        return -np.sqrt(np.maximum(-scores, 0)) if self.metric == "euclidean" else scores

    def _saved_state(self) -> dict[str, Any]:
        """Give what `txt2img.persistence` is to save."""
        if not hasattr(self, "_catalogue"):
            return {}
        names = ("n_features_in_", "feature_names_in_", "bank_")
        kept = {name: getattr(self, name) for name in names if hasattr(self, name)}
        return kept | {"catalogue_": self._catalogue.state(), "backend_": self._backend.state()}

    def _restore_state(self, state: dict[str, Any]) -> None:
        catalogue, kept = Catalogue.of_state(state.pop("catalogue_")), state.pop("backend_")
        self.__dict__.update(state)
        backend = self._new_backend()
        backend.restore(kept)
        if backend.n_slots != catalogue.n_slots:
            raise ValueError("there are not as many descriptors as ids")
        catalogue.remove(backend.lost(catalogue.slots))
        self._backend, self._catalogue = backend, catalogue
