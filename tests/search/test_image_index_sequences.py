"""Any sequence of changes, searches, savings and loadings against a dictionary from ids to descriptors."""

import tempfile

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from numpy.testing import assert_allclose, assert_array_equal
from pytest import raises, warns

from txt2img import ImageIndex

D = 3
ids = st.text("abñ", max_size=3) | st.integers(-3, 2**66) | st.tuples(st.text("xy"), st.integers(0, 2))
# All arithmetic on these is exact, so that ties are ties.
descriptors = hnp.arrays(np.float32, D, elements=st.integers(-4, 4))
photographs = st.dictionaries(ids, descriptors, min_size=1, max_size=5)
NAN = np.full(D, np.nan, np.float32)


class IndexAgainstDictionary(RuleBasedStateMachine):
    @initialize(metric=st.sampled_from(["cosine", "euclidean", "inner_product"]), first=photographs)
    def fit(self, metric, first):
        self.model = dict(first)
        self.index = ImageIndex(metric).fit(list(first.values()), ids=list(first))

    @rule(new=photographs)
    def add(self, new):
        if new.keys() & self.model.keys():
            with raises(ValueError, match="in the index already"):
                self.index.add(list(new.values()), ids=list(new))
        else:
            self.index.add(list(new.values()), ids=list(new))
            self.model |= new

    @rule(new=st.lists(descriptors, min_size=1, max_size=3))
    def add_without_ids(self, new):
        first_id = max((id for id in self.model if isinstance(id, int)), default=-1) + 1
        self.index.add(new)
        self.model |= {first_id + i: vector for i, vector in enumerate(new)}

    @rule(new=photographs, unreadable=st.integers(0, 4))
    def add_with_an_unreadable_photograph(self, new, unreadable):
        new = {id: vector for id, vector in new.items() if id not in self.model}
        if new:
            lost = list(new)[unreadable % len(new)]
            with warns(UserWarning, match="left out"):
                self.index.add([NAN if id == lost else vector for id, vector in new.items()], ids=list(new))
            self.model |= {id: vector for id, vector in new.items() if id != lost}

    @rule(data=st.data())
    @precondition(lambda self: self.model)
    def remove(self, data):
        chosen = data.draw(st.lists(st.sampled_from(list(self.model)), max_size=4))
        self.index.remove(chosen)
        for id in set(chosen):
            del self.model[id]

    @rule(data=st.data(), new=st.lists(descriptors, min_size=1, max_size=3))
    @precondition(lambda self: len(self.model) > 2)
    def update(self, data, new):
        chosen = data.draw(
            st.lists(st.sampled_from(list(self.model)), min_size=len(new), max_size=len(new), unique=True)
        )
        self.index.update(chosen, new)
        self.model |= zip(chosen, new)

    @rule()
    def compact(self):
        self.index.compact()

    @rule(verify=st.booleans())
    def save_and_load(self, verify):
        with tempfile.TemporaryDirectory() as folder:
            self.index.save(folder)
            self.index = ImageIndex.load(folder, verify=verify)

    @rule(chosen=st.lists(ids, min_size=1, max_size=3))
    def remove_unknown(self, chosen):
        if not set(chosen) <= self.model.keys():
            with raises(KeyError, match="not in the index"):
                self.index.remove(chosen)

    @rule(query=descriptors, data=st.data())
    @precondition(lambda self: self.model)
    def search_some(self, query, data):
        chosen = set(data.draw(st.lists(st.sampled_from(list(self.model)), max_size=6)))
        scores, found = self.index.search([query], 3, where=chosen)
        own = dict(zip(self.model, self.expected_scores(query)))
        assert set(found[0].tolist()) <= chosen
        expected = sorted((own[id] for id in chosen), reverse=True)[:3]
        assert_allclose(scores[0], expected, atol=1e-5)

    @rule(query=descriptors, k=st.integers(1, 12))
    def search(self, query, k):
        if k > len(self.model):
            with raises(ValueError, match="larger than the gallery"):
                self.index.search([query], k)
            return
        scores, found = self.index.search([query], k)
        expected = self.expected_scores(query)
        own = dict(zip(self.model, expected))
        assert len(set(found[0].tolist())) == k
        assert_allclose(scores[0], [own[id] for id in found[0].tolist()], atol=1e-5)
        assert_allclose(scores[0], np.sort(expected)[::-1][:k], atol=1e-5)
        if self.index.metric != "cosine":
            best = np.argsort(-expected, kind="stable")[:k]
            assert found[0].tolist() == [list(self.model)[row] for row in best]

    def expected_scores(self, query):
        gallery = np.array(list(self.model.values()), dtype=np.float64)
        if self.index.metric == "euclidean":
            return -np.linalg.norm(gallery - query, axis=1)
        if self.index.metric == "inner_product":
            return gallery @ query
        lengths = np.linalg.norm(gallery, axis=1) * np.linalg.norm(query)
        return gallery @ query / np.where(lengths > 0, lengths, 1)

    @invariant()
    def ids_are_those_of_the_model_in_order_of_arrival(self):
        assert self.index.ids_.tolist() == list(self.model)
        assert len(self.index) == len(self.model)
        if self.index.metric != "cosine" and self.model:
            assert_array_equal(self.index.descriptors_, list(self.model.values()))


def run(max_examples):
    run_state_machine_as_test(
        IndexAgainstDictionary,
        settings=settings(max_examples=max_examples, stateful_step_count=20, deadline=None),
    )


def test_sequences():
    run(40)


@pytest.mark.slow
def test_a_thousand_sequences():
    run(1000)
