import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from txt2img import ImageIndex

YEARS = [1999, 2005, 2020, 2024]
PLACES = ["Lima", "Quito", "Lima", None]
TAKEN = np.array(["1999-01-01", "2005-06-01", "2020-02-02", "2024-12-31"], "M8[D]")


@pytest.fixture
def index():
    metadata = {"year": YEARS, "place": PLACES, "taken": TAKEN, "stars": [1.0, np.nan, 3.0, 4.0]}
    return ImageIndex().fit(np.eye(4), ids=list("abcd"), metadata=metadata)


def found(index, where):
    return set(index.search(np.ones((1, 4)), k=4, where=where)[1][0].tolist())


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"year": 2005}, "b"),
        ({"year": (">=", 2005)}, "bcd"),
        ({"year": ("<", 2005)}, "a"),
        ({"year": [(">", 1999), ("<=", 2020)]}, "bc"),
        ({"year": ("in", [1999, 2024, 3000])}, "ad"),
        ({"year": ("!=", 1999), "place": "Lima"}, "c"),
        ({"place": None}, "d"),
        ({"place": ("not in", ["Lima"])}, "bd"),
        ({"taken": (">=", "2020-02-02")}, "cd"),
        ({"taken": ("<", np.datetime64("2005-06-01"))}, "a"),
        ({"stars": (">", 0)}, "acd"),
        ({}, "abcd"),
        ({"a", "d"}, "ad"),
        (["b"], "b"),
        (np.array([True, False, False, True]), "ad"),
        ([True, False, False, True], "ad"),
        (pd.Series([False, True, True, False]), "bc"),
        ([], ""),
    ],
    ids=lambda value: "ids" if isinstance(value, set) else repr(value),
)
def test_what_meets_a_condition_is_found(index, where, expected):
    assert found(index, where) == set(expected)


def test_what_is_kept_is_of_pythons_own_types():
    index = ImageIndex().fit(np.eye(3), metadata={"mixed": [np.int64(5), np.str_("a"), None]})
    assert [type(value) for value in index.metadata_["mixed"]] == [int, str, type(None)]


@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        ({"yaer": 5}, ValueError, r"where names the column 'yaer'; the index has \['year', 'place'"),
        ({"year": ("=>", 5)}, ValueError, "the comparison being one of ==, !=, <, <=, >, >=, in, not in"),
        ({"place": ("<", "M")}, ValueError, "where compares the column 'place' with 'M': "),
        (
            np.array([True, False]),
            ValueError,
            "where is a mask of shape .2,.: pass one bool for each of the 4",
        ),
        (["z"], KeyError, "not in the index, such as 'z'"),
        ("a", ValueError, "where='a' is one id"),
    ],
    ids=repr,
)
def test_conditions_that_make_no_sense_are_named(index, where, error, message):
    with pytest.raises(error, match=message):
        found(index, where)


def test_metadata_stays_with_its_photograph(index):
    gallery = np.eye(4)[[0, 1, 2]]
    gallery[1] = np.nan
    frame = pd.DataFrame({"year": [1, 2, 3], "place": list("xyz"), "taken": TAKEN[:3], "stars": [5, 6, 7]})
    with pytest.warns(UserWarning, match="left out"):
        index.add(gallery, ids=["e", "f", "g"], metadata=frame)
    index.remove(["a", "c"]).update(["b"], metadata={"year": [7]})
    index.update(["d", "g"], np.eye(4)[:2], metadata={"place": ["Cuzco", "Cuzco"]})
    assert index.ids_.tolist() == ["b", "d", "e", "g"]
    assert index.metadata_["year"].tolist() == [7, 2024, 1, 3]
    assert index.metadata_["place"].tolist() == ["Quito", "Cuzco", "x", "Cuzco"]
    assert_array_equal(index.metadata_["stars"], [np.nan, 4, 5, 7])
    assert found(index, index.metadata_["year"] % 2 == 1) == {"b", "e", "g"}
    assert found(index.compact(), {"place": "Cuzco", "year": (">", 3)}) == {"d"}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"year": [1, 2]}, "metadata column 'year' must hold one value for each of the 1 descriptors"),
        ({"year": [1]}, "metadata lacks the column 'place' of the index"),
        (
            {"new": [1], "year": [1], "place": [1], "taken": TAKEN[:1], "stars": [1]},
            "metadata has a column 'new' that",
        ),
        ({"year": [1], "place": ["x"], "taken": [1.5], "stars": [1]}, "column 'taken' is of another type"),
        ([1], "metadata is a list: pass a dict of columns, or a DataFrame"),
        ({5: [1]}, "metadata has a column named 5: name columns by strings"),
    ],
)
def test_metadata_that_does_not_fit_is_refused_and_changes_nothing(index, metadata, message):
    with pytest.raises(ValueError, match=message):
        index.add(np.eye(4)[:1], ids=["e"], metadata=metadata)
    assert index.ids_.tolist() == list("abcd")
    assert index.metadata_["year"].tolist() == YEARS


def test_numbers_that_do_not_fit_widen_a_column(index):
    index.update(["a"], metadata={"year": [1999.5]})
    assert index.metadata_["year"].tolist() == [1999.5, 2005, 2020, 2024]
