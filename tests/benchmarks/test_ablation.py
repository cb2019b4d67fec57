"""The ablation on drawn scenes: its rows, its differences, and the columns that each part takes."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.pipeline import FeatureUnion

from txt2img import CaptionVectorizer, ImageFeaturizer, SentenceVectorizer, TextToVisualRegressor
from txt2img.datasets import make_captioned_scenes
from txt2img.mapping import MapEnsemble
from txt2img.search import presets

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def letters(sentences):
    return np.array([[sentence.count(letter) for letter in "aeioust"] for sentence in sentences], float)


def small_best():
    """Stand in for the preset, with one small backbone twice and a quick network."""
    featurizer = ImageFeaturizer(
        "efficientnet_lite0", layers=("middle", "last"), pooling=("mean", "max"), resolution=64
    )
    network = TextToVisualRegressor("network", loss="infonce", hidden=None, epochs=1)
    return presets.default_parts() | {
        "featurizer": FeatureUnion([("one", featurizer), ("two", featurizer)]),
        "vectorizer": FeatureUnion(
            [("words", CaptionVectorizer(ngram_range=(1, 2))), ("meaning", SentenceVectorizer(letters))]
        ),
        "regressor": MapEnsemble([("ridge", TextToVisualRegressor()), ("network", network)], random_state=0),
    }


@pytest.fixture
def ablation(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setitem(presets.PRESETS, "best", small_best)
    import ablation

    yield ablation
    sys.modules.pop("ablation"), sys.modules.pop("retrieval_quality")


@pytest.mark.slow
def test_every_part_is_added_and_taken_away(ablation, tmp_path, monkeypatch, capsys):
    (tmp_path / "images").mkdir()
    rows = ["image\tsplit\tcaption"]
    for i, (image, captions) in enumerate(zip(*make_captioned_scenes(40, 3, random_state=0))):
        image.save(tmp_path / "images" / f"{i}.jpg")
        rows += [f"{i}.jpg\t{'train' if i < 28 else 'dev'}\t{caption}" for caption in captions]
    (tmp_path / "captions_en.tsv").write_text("\n".join(rows) + "\n")
    out = tmp_path / "out.json"
    options = ["--data", tmp_path, "--seeds", 2, "--cache", tmp_path / "cache", "--json", out]
    monkeypatch.setattr(sys, "argv", ["ablation.py", *map(str, options)])
    ablation.main()

    table = json.loads(out.read_text())
    signs = [row["row"] for row in table]
    assert signs == [
        "plain",
        *(f"+ {p}" for p in ablation.PARTS),
        "best",
        *(f"- {p}" for p in ablation.PARTS),
    ]
    reference = None
    for row in table:
        assert 0 <= row["R@1"] <= row["R@5"] <= row["R@10"] <= 1
        if row["row"] in ("plain", "best"):
            reference = row
            continue
        low, high = row["R@5 difference"]
        assert low - 1e-9 <= row["R@5"] - reference["R@5"] <= high + 1e-9
    assert len({row["R@5"] for row in table}) > 4
    assert "- hubs" in capsys.readouterr().out


def test_columns_are_those_of_a_featurizer_of_these_parts(ablation):
    _, featurizer = small_best()["featurizer"].transformer_list[0]
    images, _ = make_captioned_scenes(3, random_state=0)
    everything = featurizer.fit_transform(images)
    seen = [(everything, everything[:2], featurizer), (everything, everything[:2], featurizer)]
    for parts, options in (
        (set(), {"layers": "last", "pooling": "mean"}),
        ({"middle layer"}, {"pooling": "mean"}),
        ({"maximum"}, {"layers": "last"}),
        ({"middle layer", "maximum"}, {}),
    ):
        expected = ImageFeaturizer(**featurizer.get_params()).set_params(**options).fit_transform(images)
        train, gallery = ablation.choose_columns(seen, parts)
        cosines = train @ train.T / np.square(train[0]).sum()
        np.testing.assert_allclose(cosines, expected @ expected.T, atol=1e-5)
        np.testing.assert_array_equal(gallery, train[:2])
        both, _ = ablation.choose_columns(seen, parts | {"more backbones"})
        np.testing.assert_array_equal(both, np.hstack([train, train]))
