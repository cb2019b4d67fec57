"""Catalogue: which photograph is in which slot of a backend, and what is known of it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Protocol, Self, TypeAlias

import numpy as np

from txt2img._types import Array
from txt2img.search.growing import GrowingArray
from txt2img.search.packed_strings import PackedStrings


class DataFrame(Protocol):
    """A table of pandas or polars."""

    @property
    def columns(self) -> Any:
        """Names of the columns."""

    def __getitem__(self, name: Any, /) -> Any:
        """Return a column."""


Metadata: TypeAlias = Mapping[str, Any] | DataFrame
Ids: TypeAlias = Iterable[Hashable]
Where: TypeAlias = Mapping[str, Any] | Ids | Iterable[bool]  # conditions on metadata, ids, or a mask
_Column: TypeAlias = GrowingArray | PackedStrings

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda value, values: value in values,
    "not in": lambda value, values: value not in values,
}


class Catalogue:
    """Ids and columns of metadata by slot.

    Photographs get slots in order of arrival, and keep them until the catalogue is compacted. The slot of
    a photograph that was removed stays empty. Rows count only the photographs that are there.

    Parameters
    ----------
    ids : list of hashables
        Of the photographs in the first slots, all different.
    columns : dict of str to ndarray of shape (n_photographs,)
        Metadata by name, from `as_columns`.
    """

    def __init__(self, ids: list[Hashable], columns: dict[str, Array]) -> None:
        self._ids: _Column = GrowingArray(_as_id_array(ids))
        self._columns: dict[str, _Column] = {name: GrowingArray(values) for name, values in columns.items()}
        self._present = GrowingArray(np.ones(len(ids), bool))
        self._lookup: _Lookup | None = None
        self.n_removed = 0

    def fork(self) -> Catalogue:
        """Give a catalogue that holds the same and may be changed, while this one stays as it is."""
        twin = object.__new__(Catalogue)
        twin.__dict__.update(self.__dict__)
        twin._ids, twin._present = _forked(self._ids), self._present.fork()
        twin._columns = {name: _forked(column) for name, column in self._columns.items()}
        return twin

    def __len__(self) -> int:
        """Return the number of photographs that are there."""
        return len(self._present) - self.n_removed

    @property
    def present(self) -> Array | None:
        """Which slots hold a photograph, or None if all do."""
        return self._present.values if self.n_removed else None

    @property
    def n_slots(self) -> int:
        """Number of slots, empty ones among them."""
        return len(self._present)

    @property
    def filled_slots(self) -> Array | None:
        """Slots of the photographs that are there, or None if all slots are filled."""
        return self.slots if self.n_removed else None

    @property
    def slots(self) -> Array:
        """Slots of the photographs that are there, by row."""
        return np.flatnonzero(self._present.values)

    @property
    def ids(self) -> Array:
        """Ids of the photographs that are there, by row."""
        return self.ids_at(self.slots)

    @property
    def columns(self) -> dict[str, Array]:
        """Metadata of the photographs that are there, by row."""
        slots = self.slots
        return {name: _unpacked(column)[slots] for name, column in self._columns.items()}

    def ids_at(self, slots: Array) -> Array:
        """Give the ids in slots, in an array of the same shape."""
        return self._ids.take(slots) if isinstance(self._ids, PackedStrings) else self._ids.values[slots]

    def slots_of(self, ids: list[Hashable]) -> Array:
        """Find the slots of photographs by their ids, given as a list."""
        slots = self._find(ids)
        unknown = np.flatnonzero(slots < 0)
        if len(unknown):
            raise KeyError(
                f"ids holds {len(unknown)} ids that are not in the index, such as {ids[unknown[0]]!r}"
            )
        return slots

    def rows_of(self, slots: Array) -> Array:
        """Turn slots into rows."""
        return slots if not self.n_removed else (np.cumsum(self._present.values) - 1)[slots]

    def first_free_number(self) -> int:
        """Give the number after the greatest id that is a whole number."""
        ids = self.ids
        if ids.dtype == np.int64:
            return int(ids.max()) + 1 if len(ids) else 0
        return max((id for id in ids.tolist() if isinstance(id, int)), default=-1) + 1

    def check_new(self, ids: list[Hashable], columns: dict[str, Array]) -> None:
        """Say why photographs cannot be added."""
        known = np.flatnonzero(self._find(ids) >= 0)
        if len(known):
            raise ValueError(
                f"ids holds {len(known)} ids that are in the index already, such as {ids[known[0]]!r}: "
                "remove them first, or change their descriptors by update"
            )
        missing = [name for name in self._columns if name not in columns]
        if missing and ids:
            raise ValueError(
                f"metadata lacks the column {missing[0]!r} of the index: pass all of {list(self._columns)}"
            )
        self.check_changed(columns)

    def check_changed(self, columns: dict[str, Array]) -> None:
        """Say why metadata cannot be taken in."""
        for name, values in columns.items():
            if name not in self._columns:
                raise ValueError(
                    f"metadata has a column {name!r} that the index has not: it has {list(self._columns)}, "
                    "given to fit"
                )
            try:
                np.result_type(_unpacked(self._columns[name]).dtype, values.dtype)
            except TypeError as error:
                raise ValueError(
                    f"metadata column {name!r} is of another type than before: {error}"
                ) from None

    def add(self, ids: list[Hashable], columns: dict[str, Array]) -> None:
        """Give photographs that passed `check_new` the next slots."""
        lookup, first = self._current_lookup(), len(self._present)
        self._unpack_ids().append(_as_id_array(ids))
        for name in self._columns:
            if ids:
                self._column(name).append(columns[name])
        self._present.append(np.ones(len(ids), bool))
        lookup.n_slots = len(self._present)
        lookup.slot_of.update(zip(ids, range(first, first + len(ids))))

    def change(self, slots: Array, columns: dict[str, Array]) -> None:
        """Change metadata that passed `check_changed`."""
        for name, values in columns.items():
            column = GrowingArray(self._column(name).values.copy())
            column.put(slots, values)
            self._columns[name] = column

    def remove(self, slots: Array) -> None:
        """Empty slots, each named once."""
        present = self._present.values.copy()
        present[slots] = False
        self._present = GrowingArray(present)
        self.n_removed += len(slots)

    def compact(self) -> None:
        """Close the gaps that removed photographs left; slots become rows."""
        self.__dict__.update(Catalogue(self.ids.tolist(), self.columns).__dict__)

    def selected(self, where: Where) -> Array:
        """Say which slots hold photographs that meet a condition, as `ImageIndex.search` describes it."""
        if isinstance(where, Mapping):
            selected = self._present.values.copy()
            for name, condition in where.items():
                selected &= self._meeting(name, condition)
            return selected
        if isinstance(where, str | bytes):
            raise ValueError(f"where={where!r} is one id: pass a list of ids, a mask or a dict of conditions")
        chosen: Any = where if hasattr(where, "dtype") else list(where)
        is_mask = chosen.dtype == bool if hasattr(chosen, "dtype") else all(type(w) is bool for w in chosen)
        selected = np.zeros(len(self._present), bool)
        if is_mask and len(chosen):
            if np.shape(chosen) != (len(self),):
                raise ValueError(
                    f"where is a mask of shape {np.shape(chosen)}: pass one bool for each of the {len(self)} "
                    "photographs, in the order of ids_"
                )
            selected[self._present.values] = chosen
        else:
            selected[self.slots_of(as_id_list(chosen))] = True
        return selected

    def state(self) -> dict[str, Any]:
        """Give what is to be saved."""
        return {
            "ids_": _packed(self._ids),
            "metadata_": {name: _packed(column) for name, column in self._columns.items()},
            "present_": self.present,
        }

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> Self:
        """Make a catalogue of what was saved, without looking at every photograph."""
        catalogue = object.__new__(cls)
        catalogue._ids = _of_packed(state["ids_"])
        catalogue._columns = {name: _of_packed(column) for name, column in state["metadata_"].items()}
        n_slots, present = len(catalogue._ids), state["present_"]
        if any(len(column) != n_slots for column in catalogue._columns.values()):
            raise ValueError("columns of metadata are of another length than the ids")
        if present is not None and (present.dtype != bool or present.shape != (n_slots,)):
            raise ValueError("it is not told of every slot whether it holds a photograph")
        catalogue._present = GrowingArray(np.ones(n_slots, bool) if present is None else present)
        catalogue._lookup = None
        catalogue.n_removed = 0 if present is None else n_slots - int(np.count_nonzero(present))
        return catalogue

    def _meeting(self, name: str, condition: object) -> Array:
        if name not in self._columns:
            raise ValueError(f"where names the column {name!r}; the index has {list(self._columns)}")
        column = self._column(name).values
        met = np.ones(len(column), bool)
        for sign, value in _as_comparisons(condition):
            if sign in ("in", "not in"):
                value = set(value)
            try:
                if column.dtype == object or sign in ("in", "not in"):
                    compare = COMPARISONS[sign]
                    met &= np.fromiter(
                        (compare(own, value) for own in column.tolist()), np.bool_, len(column)
                    )
                else:
                    met &= COMPARISONS[sign](column, np.asarray(value, _kin(column.dtype, value)))
            except (TypeError, ValueError) as error:
                raise ValueError(f"where compares the column {name!r} with {value!r}: {error}") from None
        return met

    def _column(self, name: str) -> GrowingArray:
        column = self._columns[name] = _growing(self._columns[name])
        return column

    def _unpack_ids(self) -> GrowingArray:
        ids = self._ids = _growing(self._ids)
        return ids

    def _find(self, ids: list[Hashable]) -> Array:
        """Find the slots of photographs; -1 for those that are not there."""
        slot_of = self._current_lookup().slot_of
        slots = np.array([slot_of.get(id, -1) for id in ids], np.intp)
        if self.n_removed:
            slots[(slots >= 0) & ~self._present.values[slots]] = -1
        return slots

    def _current_lookup(self) -> _Lookup:
        """Give slots by id, those of removed photographs among them; forks share it while it fits."""
        if self._lookup is None or self._lookup.n_slots != len(self._present):
            slots = self.slots
            self._lookup = _Lookup(dict(zip(self.ids_at(slots).tolist(), slots.tolist())), len(self._present))
        return self._lookup

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_lookup": None}


class _Lookup:
    """Slots by id, and how many slots it knows of."""

    __slots__ = ("n_slots", "slot_of")

    def __init__(self, slot_of: dict[Hashable, int], n_slots: int) -> None:
        self.slot_of, self.n_slots = slot_of, n_slots


def as_id_list(ids: Ids) -> list[Hashable]:
    """Make a list of ids, with numbers of numpy as Python's own."""
    if isinstance(ids, str | bytes):
        raise ValueError(f"ids={ids!r} is one id: pass a list of ids")
    return [id.item() if isinstance(id, np.generic) else id for id in ids]


def as_columns(metadata: Metadata | None, n_photographs: int) -> dict[str, Array]:
    """Make arrays of the columns of a mapping or a data frame: numbers and times as such, else objects."""
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping) and not hasattr(metadata, "columns"):
        raise ValueError(f"metadata is a {type(metadata).__name__}: pass a dict of columns, or a DataFrame")
    columns = {}
    for name in metadata if isinstance(metadata, Mapping) else metadata.columns:
        values = metadata[name]
        values = values.to_numpy() if hasattr(values, "to_numpy") else values
        if not isinstance(name, str):
            raise ValueError(f"metadata has a column named {name!r}: name columns by strings")
        if isinstance(values, str | bytes) or not hasattr(values, "__len__") or len(values) != n_photographs:
            raise ValueError(
                f"metadata column {name!r} must hold one value for each of the {n_photographs} descriptors"
            )
        array = np.array(values) if not isinstance(values, list | tuple) or _alike(values) else None
        if array is None or array.ndim != 1 or array.dtype.kind not in "biufMm":
            array = np.empty(n_photographs, object)
            array[:] = [each.item() if isinstance(each, np.generic) else each for each in values]
        columns[name] = array
    return columns


def _alike(values: Iterable[object]) -> bool:
    """Say whether values may share an array without one being turned into another type."""
    kinds = {type(value) for value in values}
    return len(kinds) == 1 or kinds <= {int, float}


def _as_comparisons(condition: object) -> list[tuple[str, Any]]:
    if isinstance(condition, list):
        return [each for part in condition for each in _as_comparisons(part)]
    if isinstance(condition, tuple):
        if len(condition) != 2 or condition[0] not in COMPARISONS:
            raise ValueError(
                f"where holds the condition {condition!r}: write it as (comparison, value), the comparison "
                f"being one of {', '.join(COMPARISONS)}"
            )
        return [condition]
    return [("==", condition)]


def _kin(dtype: np.dtype[Any], value: object) -> np.dtype[Any] | None:
    """Give the type by which a value is compared with a column: times may be written as strings."""
    return dtype if dtype.kind in "Mm" and isinstance(value, str) else None


def _as_id_array(ids: list[Hashable]) -> Array:
    if all(type(id) is int and -(2**63) <= id < 2**63 for id in ids):
        return np.array(ids, dtype=np.int64)
    array = np.empty(len(ids), dtype=object)
    array[:] = ids
    return array


def _forked(column: _Column) -> _Column:
    return column if isinstance(column, PackedStrings) else column.fork()


def _growing(column: _Column) -> GrowingArray:
    return GrowingArray(column.unpack()) if isinstance(column, PackedStrings) else column


def _unpacked(column: _Column) -> Array:
    return _growing(column).values


def _packed(column: _Column) -> Array | dict[str, Array]:
    """Give a column in the form in which it is saved: strings packed, other objects as they are."""
    if isinstance(column, GrowingArray):
        values = column.values
        if values.dtype != object or not all(type(value) is str for value in values):
            return values
        column = PackedStrings.pack(values)
    return {"content": column.content, "ends": column.ends}


def _of_packed(saved: Array | dict[str, Array]) -> _Column:
    if isinstance(saved, dict):
        return PackedStrings(**saved)
    if saved.ndim != 1:
        raise ValueError("a column has another number of dimensions than one")
    return GrowingArray(saved)
