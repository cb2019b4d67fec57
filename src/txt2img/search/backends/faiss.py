"""Search by the graphs and inverted lists of faiss."""

from typing import Any, Self

import numpy as np

from txt2img._optional import import_optional
from txt2img._types import Array
from txt2img.search.backends.base import Backend, Found
from txt2img.search.backends.exact import ExactBackend
from txt2img.search.growing import GrowingArray

# Up to so many photographs each kind is chosen.
MOST_IN_FLAT = 50_000
MOST_IN_HNSW = 10_000_000
# Product quantisation learns 256 code words a sub-vector, and wants to see so many vectors for each.
POINTS_A_CENTROID = 39
FEWEST_IN_IVFPQ = POINTS_A_CENTROID * 256
NUMBERS_A_CODE = 4
# Lists and codes are learned anew when there are so many times as many photographs.
MOST_GROWTH = 4
CODE_BITS = 8
MOST_LISTS_WITHOUT_GRAPH = 10_000
# Of photographs that a condition leaves, a smaller share than this is compared exactly.
FEW_ALLOWED = 0.05
# Candidates a result, and at least, that are scored exactly.
CANDIDATES = {"flat": 1, "hnsw": 2, "ivfpq": 20}
SPARE_CANDIDATES = 10
# Candidates over which exp(score / temperature) is summed; what comes after them is left out.
CANDIDATES_OF_TOTAL = 1000
ROWS_AT_ONCE = 2**16


class FaissBackend(Backend):
    """Candidates from faiss, scored exactly by the descriptors themselves.

    The descriptors are kept as `ExactBackend` keeps them, in memory or on disk. A faiss index beside them
    finds candidates, whose scores are then computed from the descriptors, so that a score does not depend
    on how a photograph was found. The hubness bias is one more coordinate in faiss, where the query has its
    share of it, and is added as it is when candidates are scored.

    Parameters
    ----------
    n_features, euclidean, has_bias, dtype
        See `Backend`.
    kind : {"auto", "flat", "hnsw", "ivfpq"}, default="auto"
        - ``"flat"``: everything is compared, in single precision.
        - ``"hnsw"``: a graph of near photographs, with 2 bytes a number and about 140 bytes of links for
          each.
        - ``"ivfpq"``: 4 sqrt(n) lists of near photographs, with 1 byte for 4 numbers. With fewer than 9,984
          photographs it is flat, as there are too few to learn codes from.
        - ``"auto"``: flat up to 50,000 photographs, a graph up to 10 million, and lists beyond.
    n_links : int, default=16
        Photographs that each one of a graph is linked to, and twice as many at the bottom.
    ef_construction : int, default=100
        Candidates for links when a graph is built.
    ef_search : int, default=64
        Photographs of a graph that are kept in view during a search; more find more, in more time.
    n_probe : int, default=32
        Lists that are looked at.

    References
    ----------
    Malkov and Yashunin, "Efficient and Robust Approximate Nearest Neighbor Search Using Hierarchical
    Navigable Small World Graphs", PAMI 2020.

    Jégou, Douze and Schmid, "Product Quantization for Nearest Neighbor Search", PAMI 2011.

    Douze et al., "The Faiss Library", 2024.

    Examples
    --------
    >>> from txt2img import ImageIndex
    >>> index = ImageIndex(backend="faiss", backend_params={"kind": "hnsw"})  # doctest: +SKIP
    >>> index.fit([[1, 0], [0, 1]], ids=["cat", "dog"]).predict([[0, 2]])  # doctest: +SKIP
    array(['dog'], dtype=object)
    """

    def __init__(
        self,
        n_features: int,
        *,
        euclidean: bool = False,
        has_bias: bool = False,
        dtype: str = "float32",
        kind: str = "auto",
        n_links: int = 16,
        ef_construction: int = 100,
        ef_search: int = 64,
        n_probe: int = 32,
    ) -> None:
        if kind not in ("auto", *CANDIDATES):
            raise ValueError(f"kind={kind!r} must be 'auto', 'flat', 'hnsw' or 'ivfpq'")
        self.kind, self.n_links, self.ef_construction = kind, n_links, ef_construction
        self.ef_search, self.n_probe = ef_search, n_probe
        self.euclidean, self.has_bias = euclidean, has_bias
        self._rows = ExactBackend(n_features, euclidean=euclidean, has_bias=has_bias, dtype=dtype)
        self._faiss = import_optional("faiss", extra="faiss", purpose='backend="faiss"')
        self._drop_index()

    @property
    def n_slots(self) -> int:
        """See `Backend`."""
        return self._rows.n_slots

    def fork(self) -> Self:
        """See `Backend`. The index of faiss is shared: one that has grown in another fork is made anew."""
        twin = super().fork()
        twin._rows, twin._slot_of_entry = self._rows.fork(), self._slot_of_entry.fork()
        return twin

    def add(self, descriptors: Array, bias: Array | None) -> None:
        """See `Backend`."""
        n_before = self.n_slots
        self._rows.add(descriptors, bias)
        self._put_in_index(np.arange(n_before, self.n_slots))

    def update(self, slots: Array, descriptors: Array, bias: Array | None) -> None:
        """See `Backend`."""
        self._rows.update(slots, descriptors, bias)
        entries = self._slot_of_entry.values
        entries[np.isin(entries, slots)] = -1
        try:
            self._put_in_index(slots)
        except BaseException:
            self._drop_index()
            raise

    def remove(self, slots: Array) -> None:
        """See `Backend`."""

    def compact(self, slots: Array) -> None:
        """See `Backend`."""
        self._rows.compact(slots)
        self._drop_index()
        self._put_in_index(np.arange(len(slots)))

    def search(
        self,
        queries: Array,
        k: int,
        *,
        share: Array | None = None,
        allowed: Array | None = None,
        temperature: float | None = None,
    ) -> Found:
        """See `Backend`; with a temperature the total is that of the 1,000 best."""
        self._put_in_index(np.arange(0))
        n_allowed = self.n_slots if allowed is None else int(np.count_nonzero(allowed))
        if n_allowed <= FEW_ALLOWED * self.n_slots or not len(queries):
            return self._rows.search(queries, k, share=share, allowed=allowed, temperature=temperature)
        n_candidates = CANDIDATES[self._kind] * k + SPARE_CANDIDATES
        if temperature is not None:
            n_candidates = max(n_candidates, CANDIDATES_OF_TOTAL)
        slots = self._candidates(queries, min(n_candidates, n_allowed), share, allowed)
        scores = self.scores_at(queries, slots, share)
        scores[slots < 0] = -np.inf
        order = np.lexsort((slots, -scores), axis=1)
        scores, slots = np.take_along_axis(scores, order, axis=1), np.take_along_axis(slots, order, axis=1)
        log_total = None
        if temperature is not None:
            log_total = np.logaddexp.reduce(scores / np.float64(temperature), axis=1)
        scores, slots = scores[:, :k], slots[:, :k]
        # A graph may lead to too few of the photographs that a condition allows.
        lacking = np.flatnonzero((slots < 0).any(axis=1))
        if len(lacking):
            part = None if share is None else share[lacking]
            found = self._rows.search(
                queries[lacking], k, share=part, allowed=allowed, temperature=temperature
            )
            scores[lacking], slots[lacking] = found.scores, found.slots
            if log_total is not None:
                log_total[lacking] = found.log_total
        return Found(scores, slots, log_total)

    def descriptors(self, slots: Array | None = None) -> Array:
        """See `Backend`."""
        return self._rows.descriptors(slots)

    def bias(self, slots: Array | None = None) -> Array | None:
        """See `Backend`."""
        return self._rows.bias(slots)

    def state(self) -> dict[str, Any]:
        """See `Backend`."""
        self._put_in_index(np.arange(0))
        return {
            "rows_": self._rows.state(),
            "kind_": self._kind,
            "n_learned_": self._n_learned,
            "faiss_": self._faiss.serialize_index(self._index),
            "slot_of_entry_": self._slot_of_entry.values,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See `Backend`."""
        self._rows.restore(state["rows_"])
        saved, entries = state["faiss_"], state["slot_of_entry_"]
        if state["kind_"] not in CANDIDATES or saved.dtype != np.uint8 or entries.dtype != np.int64:
            raise ValueError("the faiss index is not saved as bytes")
        try:
            index = self._faiss.deserialize_index(saved)
        except RuntimeError as error:
            raise ValueError(f"faiss cannot read its index: {error}") from None
        if index.ntotal != len(entries) or entries.max(initial=-1) >= self.n_slots:
            raise ValueError("the faiss index is not of these descriptors")
        self._kind, self._index, self._slot_of_entry = state["kind_"], index, GrowingArray(entries)
        self._n_learned = state["n_learned_"]

    def _drop_index(self) -> None:
        self._index, self._kind, self._n_learned = None, None, 0
        self._slot_of_entry = GrowingArray(np.empty(0, np.int64))

    def _put_in_index(self, slots: Array) -> None:
        """Put descriptors into the index, or all into a new one if there is none or another kind is due."""
        kind = self._kind_for(self.n_slots)
        n_entries = len(self._slot_of_entry)
        outdated = n_entries > 2 * self.n_slots or (self._index and self._index.ntotal != n_entries)
        outgrown = kind == "ivfpq" and self.n_slots > MOST_GROWTH * self._n_learned
        if self._index is None or kind != self._kind or outdated or outgrown:
            slots = np.arange(self.n_slots)
            self._drop_index()
            self._index, self._kind, self._n_learned = self._new_index(kind), kind, self.n_slots
        for start in range(0, len(slots), ROWS_AT_ONCE):
            own = slots[start : start + ROWS_AT_ONCE]
            self._index.add(self._with_bias(self._rows.descriptors(own), self._rows.bias(own)))
            self._slot_of_entry.append(own.astype(np.int64))

    def _kind_for(self, n: int) -> str:
        kind = self.kind
        if kind == "auto":
            kind = "flat" if n <= MOST_IN_FLAT else "hnsw" if n <= MOST_IN_HNSW else "ivfpq"
        return "flat" if kind == "ivfpq" and n < FEWEST_IN_IVFPQ else kind

    def _new_index(self, kind: str) -> Any:
        faiss = self._faiss
        width = self._with_bias(np.empty((0, self._rows.n_features), np.float32), np.empty(0)).shape[1]
        metric = faiss.METRIC_L2 if self.euclidean else faiss.METRIC_INNER_PRODUCT
        if kind == "flat":
            return faiss.IndexFlat(width, metric)
        if kind == "hnsw":
            index = faiss.IndexHNSWSQ(width, faiss.ScalarQuantizer.QT_fp16, self.n_links, metric)
            index.hnsw.efConstruction = self.ef_construction
            return index
        n_lists = min(round(4 * self.n_slots**0.5), self.n_slots // POINTS_A_CENTROID)
        graph = "_HNSW32" if n_lists > MOST_LISTS_WITHOUT_GRAPH else ""
        codes = f"PQ{width // NUMBERS_A_CODE}x{CODE_BITS}"
        index = faiss.index_factory(width, f"IVF{n_lists}{graph},{codes}", metric)
        n_learned = min(self.n_slots, max(FEWEST_IN_IVFPQ, POINTS_A_CENTROID * n_lists))
        spread = np.unique(np.linspace(0, self.n_slots - 1, n_learned).astype(np.intp))
        index.train(self._with_bias(self._rows.descriptors(spread), self._rows.bias(spread)))
        return index

    def _with_bias(self, vectors: Array, bias: Array | np.float32 | None) -> Array:
        """Put the bias beside the vectors, and zeros, so that the width can be cut into codes."""
        n_features = vectors.shape[1]
        width = -(-(n_features + self.has_bias) // NUMBERS_A_CODE) * NUMBERS_A_CODE
        if width == n_features:
            return np.ascontiguousarray(vectors)
        wide = np.zeros((len(vectors), width), np.float32)
        wide[:, :n_features] = vectors
        if self.has_bias:
            wide[:, n_features] = bias
        return wide

    def _candidates(self, queries: Array, n: int, share: Array | None, allowed: Array | None) -> Array:
        """Find slots of candidates; -1 where there are none."""
        entries = self._slot_of_entry.values
        selected = None if allowed is None else allowed[entries]
        if (entries < 0).any():
            selected = entries >= 0 if selected is None else selected & (entries >= 0)
        n = int(min(n, len(entries)))
        faiss, options = self._faiss, {}
        if selected is not None:
            bits = np.packbits(selected, bitorder="little")
            options["sel"] = faiss.IDSelectorBitmap(bits)
        if self._kind == "hnsw":
            params = faiss.SearchParametersHNSW(efSearch=max(self.ef_search, n), **options)
        elif self._kind == "ivfpq":
            params = faiss.SearchParametersIVF(nprobe=self.n_probe, **options)
        else:
            params = faiss.SearchParameters(**options)
        vectors = self._with_bias(queries, np.float32(1) if share is None else share)
        _, found = self._index.search(vectors, n, params=params)
        return np.where(found < 0, -1, entries[found]).astype(np.intp)

    def __getstate__(self) -> dict[str, Any]:
        index = None if self._index is None else self._faiss.serialize_index(self._index)
        return self.__dict__ | {"_index": index, "_faiss": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._faiss = import_optional("faiss", extra="faiss", purpose='backend="faiss"')
        if self._index is not None:
            self._index = self._faiss.deserialize_index(self._index)
