"""Files of every released format are read, and answer as they did."""

import json
import shutil
from pathlib import Path

import pytest
from numpy.testing import assert_allclose

from txt2img import TextImageSearch, persistence
from txt2img.datasets import make_captioned_descriptors

FORMATS = sorted(Path(__file__).with_name("golden").glob("format_*"))


@pytest.mark.parametrize("folder", FORMATS, ids=lambda folder: folder.name)
def test_saved_search_of_a_format_answers_as_it_did(folder, tmp_path):
    answers = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    search = TextImageSearch.load(folder / "search", verify=True)
    for hits, expected in zip(search.query(answers["queries"], k=6), answers["hits"], strict=True):
        assert [hit.id for hit in hits] == [id for id, _ in expected]
        assert_allclose([hit.score for hit in hits], [score for _, score in expected], atol=1e-4)
        assert all(0 < hit.probability < 1 for hit in hits)
    lima = search.query(answers["queries"][0], k=3, where={"place": "Lima"})
    assert [hit.id for hit in lima] == answers["lima"]
    descriptors = make_captioned_descriptors(48, 2, n_features=12, random_state=0)[1]
    assert [word.text for word in search.describe(descriptors[:1], k=3)[0]] == answers["described"]
    shutil.copytree(folder / "search", tmp_path / "search")
    search.add(descriptors[20:21], ids=["new"], metadata={"year": [2020], "place": ["Lima"]}).save(
        tmp_path / "search"
    )
    assert len(TextImageSearch.load(tmp_path / "search")) == 20


def test_the_present_format_has_a_golden_file():
    assert f"format_{persistence.FORMAT_VERSION}" in [folder.name for folder in FORMATS]
