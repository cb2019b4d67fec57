"""Any sequence of what is done to a whole search against a dictionary from ids to colours."""

import copy
import io
import os
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import mean_colour
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from numpy.testing import assert_allclose
from PIL import Image
from pytest import raises, warns

from txt2img import CaptionVectorizer, ImageFeaturizer, ImageIndex, TextImageSearch, TextToVisualRegressor

NAMES = ["rojo", "verde", "azul", "gris", "rosa", "negro", "blanco", "lila", "ocre", "malva"]
COLOURS = np.random.default_rng(0).integers(0, 256, (len(NAMES), 3))
colours = st.integers(0, len(NAMES) - 1)


def photograph(colour):
    file = io.BytesIO()
    Image.new("RGB", (2, 2), tuple(COLOURS[colour].tolist())).save(file, "png")
    return file.getvalue()


CONTENTS = [photograph(colour) for colour in range(len(NAMES))]


def featurizer():
    return ImageFeaturizer(mean_colour, normalize=False, on_error="warn")


class SearchAgainstDictionary(RuleBasedStateMachine):
    @initialize(metric=st.sampled_from(["cosine", "euclidean", "inner_product"]))
    def begin(self, metric):
        self.folder, self.n_files, self.model = Path(tempfile.mkdtemp()), 0, {}
        self.search = TextImageSearch(
            featurizer(),
            vectorizer=CaptionVectorizer(min_df=1),
            regressor=TextToVisualRegressor(),
            index=ImageIndex(metric),
            calibration_share=None,
        )
        self.learn(range(len(NAMES)))

    def teardown(self):
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    def new_file(self, content):
        self.n_files += 1
        path = self.folder / f"{self.n_files}.png"
        path.write_bytes(content)
        return str(path)

    def learn(self, chosen):
        photos = [self.new_file(CONTENTS[colour]) for colour in chosen]
        self.search.fit(photos, [[f"un muro {NAMES[colour]}", NAMES[colour]] for colour in chosen])
        self.model = {}

    @rule(chosen=st.sets(colours, min_size=3))
    def retrain(self, chosen):
        self.learn(sorted(chosen))

    @rule(chosen=st.lists(colours, min_size=1, max_size=4))
    def add(self, chosen):
        new = {self.new_file(CONTENTS[colour]): colour for colour in chosen}
        self.search.add(list(new))
        self.model |= new

    @rule(chosen=st.lists(colours | st.none(), min_size=2, max_size=5).filter(any), as_ids=st.booleans())
    def add_with_bad_photographs(self, chosen, as_ids):
        photos = [self.new_file(b"none" if colour is None else CONTENTS[colour]) for colour in chosen]
        ids = [f"photograph {path}" for path in photos] if as_ids else photos
        new = {id: colour for id, colour in zip(ids, chosen) if colour is not None}
        if len(new) < len(ids):
            with warns(UserWarning, match="cannot be read|left out of the index"):
                self.search.add(photos, ids=ids if as_ids else None)
        else:
            self.search.add(photos, ids=ids if as_ids else None)
        self.model |= new

    @rule(data=st.data(), colour=colours)
    @precondition(lambda self: self.model)
    def add_what_is_there_already(self, data, colour):
        known = data.draw(st.sampled_from(list(self.model)))
        with raises(ValueError, match="in the index already"):
            self.search.add([self.new_file(CONTENTS[colour]), CONTENTS[colour]], ids=["new", known])

    @rule(rows=st.integers(1, 3))
    def add_descriptors_of_which_one_is_nan(self, rows):
        descriptors = np.ones((rows, 3), np.float32)
        descriptors[-1] = np.nan
        with raises(ValueError, match="NaN or infinity"):
            self.search.add(descriptors, ids=[f"row {i}" for i in range(rows)])

    @rule(data=st.data())
    @precondition(lambda self: self.model)
    def remove(self, data):
        chosen = data.draw(st.lists(st.sampled_from(list(self.model)), max_size=4))
        self.search.remove(chosen)
        for id in set(chosen):
            del self.model[id]

    @rule(data=st.data())
    @precondition(lambda self: self.model)
    def add_again_under_another_name(self, data):
        old = data.draw(st.sampled_from(list(self.model)))
        if os.path.exists(old):
            self.n_files += 1
            new = str(self.folder / f"{self.n_files} renamed.png")
            os.rename(old, new)
            self.search.remove([old]).add([new])
            self.model[new] = self.model.pop(old)

    @rule(data=st.data(), colour=colours)
    @precondition(lambda self: self.model)
    def add_another_photograph_under_an_old_name(self, data, colour):
        old = data.draw(st.sampled_from(list(self.model)))
        if os.path.exists(old):
            Path(old).write_bytes(CONTENTS[colour])
            self.search.remove([old]).add([old])
            del self.model[old]
            self.model[old] = colour

    @rule(verify=st.booleans())
    def save_and_load(self, verify):
        saved = copy.copy(self.search).set_params(featurizer=None)
        saved.featurizer_ = None  # a function as backbone is not saved
        saved.save(self.folder / "model")
        featurizer = self.search.featurizer_
        self.search = TextImageSearch.load(self.folder / "model", verify=verify)
        self.search.set_params(featurizer=featurizer).featurizer_ = featurizer

    @rule(colour=colours, k=st.integers(1, 8))
    @precondition(lambda self: self.model)
    def query(self, colour, k):
        k = min(k, len(self.model))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a colour may not be learned
            hits = self.search.query(NAMES[colour], k=k)
            asked = self.search.predict([NAMES[colour]])[0].astype(np.float64)
        own = dict(zip(self.model, self.expected_scores(asked)))
        assert len({hit.id for hit in hits}) == len(hits) == k
        assert_allclose([hit.score for hit in hits], [own[hit.id] for hit in hits], atol=2e-3, rtol=1e-4)
        best = sorted(own.values(), reverse=True)[:k]
        assert_allclose([hit.score for hit in hits], best, atol=2e-3, rtol=1e-4)

    def own_descriptors(self):
        shown = COLOURS[list(self.model.values())].astype(np.float32)
        return self.search.transform(shown).astype(np.float64)

    def expected_scores(self, asked):
        gallery = self.own_descriptors()
        if self.search.index_.metric == "euclidean":
            return -np.linalg.norm(gallery - asked, axis=1)
        if self.search.index_.metric == "inner_product":
            return gallery @ asked
        lengths = np.linalg.norm(gallery, axis=1) * np.linalg.norm(asked)
        return gallery @ asked / np.where(lengths > 0, lengths, 1)

    @invariant()
    def every_id_has_the_descriptor_of_its_own_photograph(self):
        assert len(self.search) == len(self.model)
        if self.model:
            assert self.search.index_.ids_.tolist() == list(self.model)
            own, kept = self.own_descriptors(), self.search.index_.descriptors_
            if self.search.index_.metric == "cosine":
                own = own / np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-12)
            assert_allclose(kept, own, atol=1e-3)


@pytest.mark.parametrize("n_sequences", [20, pytest.param(500, marks=pytest.mark.slow)])
def test_every_hit_is_the_photograph_whose_descriptor_it_is(n_sequences):
    run_state_machine_as_test(
        SearchAgainstDictionary,
        settings=settings(max_examples=n_sequences, stateful_step_count=12, deadline=None, derandomize=True),
    )
