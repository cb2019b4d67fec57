"""Changes of a collection of Milvus that fail, and processes that die before they have saved."""

import itertools

import numpy as np
import pytest

from txt2img import ImageIndex
from txt2img.exceptions import SavedFileError
from txt2img.search.backends import milvus

pytest.importorskip("pymilvus")
pytest.importorskip("milvus_lite")
pytestmark = pytest.mark.slow

ROWS = np.random.default_rng(0).normal(size=(15, 4)).astype(np.float32)
NEW = {"a": ROWS[10], "b": ROWS[11], "c": ROWS[12]}
CHANGES = {
    "add": lambda index: index.add(ROWS[10:15], ids=list("vwxyz")),
    "remove": lambda index: index.remove(list("abc")),
    "update": lambda index: index.update(list(NEW), list(NEW.values())),
    "compact": lambda index: index.compact(),
}


class FailingClient:
    """A client of Milvus whose writing is interrupted once, or, if its process dies, from then on."""

    WRITING = ("upsert", "delete", "create_collection", "drop_collection")

    def __init__(self, client, at, dies):
        self.client, self.at, self.dies, self.n_written = client, at, dies, 0

    def __getattr__(self, name):
        method = getattr(self.client, name)

        def write(*arguments, **options):
            self.n_written += 1
            if self.n_written == self.at or (self.dies and self.n_written > self.at):
                raise KeyboardInterrupt
            return method(*arguments, **options)

        return write if name in self.WRITING else method


def seen(index):
    """Tell all that can be seen of an index; no photograph has the place of another."""
    descriptors = dict(zip(index.ids_.tolist(), index.descriptors_.tolist()))
    scores, ids = index.search(ROWS[:3], k=len(index))
    for query, own_scores, own_ids in zip(ROWS, scores, ids.tolist()):
        np.testing.assert_allclose(own_scores, [descriptors[id] @ query for id in own_ids], atol=1e-5)
    return descriptors, ids.tolist()


@pytest.fixture
def saved(tmp_path, monkeypatch):
    monkeypatch.setattr(milvus, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(milvus, "MOST_SLOTS_NAMED", 2)
    index = ImageIndex("inner_product", backend="milvus", backend_params={"uri": str(tmp_path / "lite.db")})
    index.fit(ROWS[:10], ids=list("abcdefghij")).remove(["d"]).save(tmp_path / "saved")
    return tmp_path / "saved"


def fails(index, change, at, *, dies):
    """Change an index whose writing fails; say whether it came to that."""
    client = index._backend._client
    index._backend._client = FailingClient(client, at, dies)
    try:
        CHANGES[change](index)
    except KeyboardInterrupt:
        return True
    finally:
        index._backend._client = client
    return False


@pytest.mark.parametrize("change", CHANGES)
def test_an_interrupted_change_leaves_what_was_there(saved, change):
    index = ImageIndex.load(saved)
    before = seen(index)
    for at in itertools.count(1):
        if not fails(index, change, at, dies=False):
            break
        assert seen(index) == before
    assert at > 2
    assert (seen(index) == before) == (change == "compact")


@pytest.mark.parametrize("change", ["add", "compact"])
def test_of_a_process_that_dies_nothing_is_found(saved, change):
    before = seen(ImageIndex.load(saved))
    assert fails(ImageIndex.load(saved), change, 3, dies=True)
    assert seen(ImageIndex.load(saved)) == before
    CHANGES[change](ImageIndex.load(saved))
    assert seen(ImageIndex.load(saved)) == before


def test_of_a_removal_in_which_the_process_died_the_part_that_happened_stays(saved):
    before = seen(ImageIndex.load(saved))[0]
    assert fails(ImageIndex.load(saved), "remove", 2, dies=True)
    index = ImageIndex.load(saved)
    assert seen(index)[0] == {id: row for id, row in before.items() if id not in "ab"}
    with pytest.raises(KeyError, match="not in the index, such as 'a'"):
        index.remove(list("abc"))
    index.remove(["c"]).add(ROWS[10:12], ids=["a", "new"]).save(saved)
    assert seen(ImageIndex.load(saved))[0].keys() == {*"efghij", "a", "new"}


def test_of_an_update_in_which_the_process_died_each_photograph_is_as_before_or_after(saved):
    before = seen(ImageIndex.load(saved))[0]
    assert fails(ImageIndex.load(saved), "update", 2, dies=True)
    index = ImageIndex.load(saved)
    assert seen(index)[0] == before | {id: NEW[id].tolist() for id in "ab"}
    assert seen(index.update(list(NEW), list(NEW.values())))[0] == before | {
        id: row.tolist() for id, row in NEW.items()
    }


def test_collections_of_compacted_indexes_do_not_pile_up(saved):
    index = ImageIndex.load(saved)
    client = index._backend._client
    for id in "abc":
        index.remove([id]).compact().save(saved)
        assert len(client.list_collections()) == 2
    assert seen(ImageIndex.load(saved)) == seen(index)


def test_a_collection_that_was_filled_anew_is_not_taken_for_the_old_one(tmp_path):
    params = {"uri": str(tmp_path / "lite.db"), "collection": "photographs"}
    index = ImageIndex(backend="milvus", backend_params=params).fit(ROWS[:4])
    index.save(tmp_path / "saved")
    ImageIndex(backend="milvus", backend_params=params).fit(ROWS[4:8])
    with pytest.raises(SavedFileError, match=r"'photographs' of .* was filled anew"):
        ImageIndex.load(tmp_path / "saved")
