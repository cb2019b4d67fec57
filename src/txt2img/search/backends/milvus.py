"""Search in a file of Milvus Lite or in a Milvus cluster."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from txt2img._optional import import_optional
from txt2img._types import Array
from txt2img.search.backends.base import Backend, Found

# What Milvus answers or takes in one call.
MOST_FOUND = 16_384
MOST_SLOTS_NAMED = 10_000
ROWS_AT_ONCE = 1000
CANDIDATES_OF_TOTAL = 1000


class MilvusBackend(Backend):
    """Descriptors in a collection of Milvus, one entity a photograph, under the number of its slot.

    Ids and metadata stay in the index; what `ImageIndex.save` saves beside them is the address of the
    collection, which `load` connects to. The hubness bias is one more coordinate, where the query has its
    share of it: Milvus then needs to know nothing of it, and finds what an exact search finds.

    Parameters
    ----------
    n_features, euclidean, has_bias, dtype
        See `Backend`; the dtype must be ``"float32"``.
    uri : str, default="photographs.db"
        A file that ends with ``.db``, for Milvus Lite; or the address of a cluster, such as
        ``"http://localhost:19530"``.
    token : str, default=None
        What the cluster asks for. It is never saved.
    collection : str, default=None
        Name of the collection; by default a new one, of a name that is not in use. One that exists is
        replaced by `fit`.
    index_type : str, default="AUTOINDEX"
        Index of Milvus, such as ``"FLAT"``, ``"HNSW"`` or ``"IVF_FLAT"``, with its own defaults.

    References
    ----------
    Wang et al., "Milvus: A Purpose-Built Vector Data Management System", SIGMOD 2021.

    Examples
    --------
    >>> from txt2img import ImageIndex
    >>> index = ImageIndex(backend="milvus", backend_params={"uri": "photos.db"})  # doctest: +SKIP
    >>> index.fit([[1, 0], [0, 1]], ids=["cat", "dog"]).predict([[0, 2]])  # doctest: +SKIP
    array(['dog'], dtype=object)
    """

    forgets = True

    def __init__(
        self,
        n_features: int,
        *,
        euclidean: bool = False,
        has_bias: bool = False,
        dtype: str = "float32",
        uri: str = "photographs.db",
        token: str | None = None,
        collection: str | None = None,
        index_type: str = "AUTOINDEX",
    ) -> None:
        if dtype != "float32":
            raise ValueError(f'dtype={dtype!r} does not go with backend="milvus": take dtype="float32"')
        self.n_features, self.euclidean, self.has_bias = n_features, euclidean, has_bias
        self.uri, self.token, self.index_type = uri, token, index_type
        self.collection = collection or _new_name()
        self._n_slots = 0
        self._field: str | None = None
        self._left: str | None = None
        self._connect()

    @property
    def n_slots(self) -> int:
        """See `Backend`."""
        return self._n_slots

    def add(self, descriptors: Array, bias: Array | None) -> None:
        """See `Backend`."""
        if not self._n_slots:
            self._make_collection()
        slots = np.arange(self._n_slots, self._n_slots + len(descriptors))
        try:
            self._put(slots, descriptors, bias)
        except BaseException:
            self._delete(slots)
            raise
        self._n_slots += len(descriptors)

    def update(self, slots: Array, descriptors: Array, bias: Array | None) -> None:
        """See `Backend`."""
        with self._put_back(slots):
            self._put(slots, descriptors, bias)

    def remove(self, slots: Array) -> None:
        """See `Backend`."""
        with self._put_back(slots):
            self._delete(slots)

    def compact(self, slots: Array) -> None:
        """See `Backend`. The collection of before stays until the next time, as a saved index may need it."""
        before = self.fork()
        self.collection, self._left = _new_name(), before.collection
        self._make_collection()
        try:
            for start in range(0, len(slots), ROWS_AT_ONCE):
                own = slots[start : start + ROWS_AT_ONCE]
                self._put(np.arange(start, start + len(own)), before.descriptors(own), before.bias(own))
        except BaseException:
            self._client.drop_collection(self.collection)
            raise
        self._n_slots = len(slots)
        if before._left:
            self._client.drop_collection(before._left)

    def lost(self, slots: Array) -> Array:
        """See `Backend`."""
        (counted,) = self._client.query(self.collection, filter=self._own, output_fields=["count(*)"])
        if counted["count(*)"] == len(slots):
            return slots[:0]
        there = [
            entity["slot"]
            for start in range(0, len(slots), ROWS_AT_ONCE)
            for entity in self._client.get(
                self.collection, ids=slots[start : start + ROWS_AT_ONCE].tolist(), output_fields=["slot"]
            )
        ]
        return np.setdiff1d(slots, there)

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
        n_looked_at = k if temperature is None else max(k, CANDIDATES_OF_TOTAL)
        filters = [self._own]
        if allowed is not None:
            chosen = np.flatnonzero(allowed)
            n_looked_at = min(n_looked_at, len(chosen))
            filters = [
                f"slot in {chosen[start : start + MOST_SLOTS_NAMED].tolist()}"
                for start in range(0, len(chosen), MOST_SLOTS_NAMED)
            ]
        if k > MOST_FOUND:
            raise ValueError(f"k={k} is more than Milvus finds at once: ask for at most {MOST_FOUND}")
        n_looked_at = int(min(n_looked_at, MOST_FOUND))
        scores = np.full((len(queries), n_looked_at * len(filters)), -np.inf, np.float32)
        slots = np.full(scores.shape, -1, np.intp)
        vectors = self._with_bias(queries, np.float32(1) if share is None else share)
        for number, condition in enumerate(filters if len(queries) and n_looked_at else []):
            answers = self._client.search(
                self.collection,
                data=list(vectors),
                limit=n_looked_at,
                filter=condition,
                output_fields=["slot"],
            )
            for query, hits in enumerate(answers):
                own = slice(number * n_looked_at, number * n_looked_at + len(hits))
                distances = np.array([hit["distance"] for hit in hits], np.float32)
                scores[query, own] = -distances if self.euclidean else distances
                slots[query, own] = [hit["slot"] for hit in hits]
        order = np.lexsort((slots, -scores), axis=1)
        scores, slots = np.take_along_axis(scores, order, axis=1), np.take_along_axis(slots, order, axis=1)
        log_total = None
        if temperature is not None:
            log_total = np.logaddexp.reduce(scores / np.float64(temperature), axis=1)
        return Found(scores[:, :k], slots[:, :k], log_total)

    def descriptors(self, slots: Array | None = None) -> Array:
        """See `Backend`."""
        return self._vectors(slots)[:, : self.n_features]

    def bias(self, slots: Array | None = None) -> Array | None:
        """See `Backend`."""
        return self._vectors(slots)[:, self.n_features] if self.has_bias else None

    def state(self) -> dict[str, Any]:
        """See `Backend`."""
        self._client.flush(self.collection)
        names = {"collection_": self.collection, "field_": self._field, "left_": self._left}
        return names | {"uri_": self.uri, "n_slots_": self._n_slots}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Backend`."""
        self.collection, self._n_slots = state["collection_"], state["n_slots_"]
        self._field, self._left = state["field_"], state["left_"]
        if not self._client.has_collection(self.collection):
            raise ValueError(f"{self.uri} has no collection {self.collection!r}")
        fields = self._client.describe_collection(self.collection)["fields"]
        if self._field not in [field["name"] for field in fields]:
            raise ValueError(
                f"the collection {self.collection!r} of {self.uri} was filled anew after this index was saved"
            )

    def _connect(self) -> None:
        pymilvus = import_optional("pymilvus", extra="milvus", purpose='backend="milvus"')
        self._client = pymilvus.MilvusClient(self.uri, token=self.token or "")

    def _make_collection(self) -> None:
        from pymilvus import DataType

        if self._client.has_collection(self.collection):
            self._client.drop_collection(self.collection)
        # Its name tells an index whether the collection is still the one that was saved with it.
        self._field = f"vector_{secrets.token_hex(8)}"
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("slot", DataType.INT64, is_primary=True)
        schema.add_field(self._field, DataType.FLOAT_VECTOR, dim=self.n_features + self.has_bias)
        index = self._client.prepare_index_params()
        metric = "L2" if self.euclidean else "IP"
        index.add_index(self._field, index_type=self.index_type, metric_type=metric)
        # What was added is found by the next search.
        self._client.create_collection(
            self.collection, schema=schema, index_params=index, consistency_level="Strong"
        )

    @property
    def _own(self) -> str:
        """Condition that leaves out what an addition left that was never finished, or not saved."""
        return f"slot < {self._n_slots}"

    @contextmanager
    def _put_back(self, slots: Array) -> Iterator[None]:
        """Put descriptors back as they were if what is done to them fails or is interrupted."""
        before = self.descriptors(slots), self.bias(slots)
        try:
            yield
        except BaseException:
            self._put(slots, *before)
            raise

    def _delete(self, slots: Array) -> None:
        for start in range(0, len(slots), MOST_SLOTS_NAMED):
            self._client.delete(self.collection, ids=slots[start : start + MOST_SLOTS_NAMED].tolist())

    def _put(self, slots: Array, descriptors: Array, bias: Array | None) -> None:
        vectors = self._with_bias(descriptors, bias)
        for start in range(0, len(slots), ROWS_AT_ONCE):
            own = slice(start, start + ROWS_AT_ONCE)
            rows = [
                {"slot": slot, self._field: vector} for slot, vector in zip(slots[own].tolist(), vectors[own])
            ]
            self._client.upsert(self.collection, rows)

    def _with_bias(self, vectors: Array, bias: Array | np.float32 | None) -> Array:
        if bias is None or not self.has_bias:
            return vectors
        return np.column_stack([vectors, np.broadcast_to(bias, len(vectors))]).astype(np.float32)

    def _vectors(self, slots: Array | None) -> Array:
        slots = np.arange(self._n_slots) if slots is None else slots
        vectors = np.empty((len(slots), self.n_features + self.has_bias), np.float32)
        for start in range(0, len(slots), ROWS_AT_ONCE):
            own = slots[start : start + ROWS_AT_ONCE]
            fields = ["slot", self._field]
            entities = self._client.get(self.collection, ids=own.tolist(), output_fields=fields)
            by_slot = {entity["slot"]: entity[self._field] for entity in entities}
            vectors[start : start + len(own)] = [by_slot[slot] for slot in own.tolist()]
        return vectors

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_client", "token")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, token=None)
        self._connect()


def _new_name() -> str:
    return f"photographs_{secrets.token_hex(8)}"
