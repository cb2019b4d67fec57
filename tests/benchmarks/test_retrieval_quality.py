"""The benchmark on a small folder of drawn scenes: its options, its cache, and the table that it writes."""

import hashlib
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from txt2img import ImageFeaturizer, TextImageSearch
from txt2img.datasets import make_captioned_scenes

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "retrieval_quality.py"
N_TRAIN, N_DEV = 24, 12
KEYS = ["name", "R@1", "R@2", "R@5", "R@10", "median_rank", "mean_rank", "MRR"]
KEYS += ["hubness", "calibration_error", "brier_score", "train_seconds"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Write photographs and captions in two languages; of the split dev the last 3 have none in Spanish."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "images").mkdir()
    for language in ("en", "es"):
        images, captions = make_captioned_scenes(N_TRAIN + N_DEV, 3, language=language, random_state=0)
        rows = ["image\tsplit\tcaption"]
        for i, (image, own) in enumerate(zip(images, captions)):
            image.save(folder / "images" / f"{i}.jpg")
            if language == "en" or i < N_TRAIN + N_DEV - 3:
                split = "train" if i < N_TRAIN else "dev"
                rows += [f'{i}.jpg\t{split}\t{sentence} "as seen"' for sentence in own]
        (folder / f"captions_{language}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("retrieval_quality", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@pytest.fixture
def benchmark(script, data, cache, tmp_path, monkeypatch):
    """Return a function that runs the benchmark, with narrow descriptors, and reads its table."""

    def run(*options):
        out = tmp_path / "out.json"
        arguments = ["--data", data, "--json", out, "--cache", cache, "--backbone", "efficientnet_lite0"]
        arguments += ["--layers", "last", "--pooling", "mean", "--resolution", "96"]
        monkeypatch.setattr(sys, "argv", [str(each) for each in (SCRIPT, *arguments, *options)])
        script.main()
        return {row["name"]: row for row in json.loads(out.read_text())}

    return run


def figures(rows):
    return {name: {key: row[key] for key in KEYS[1:-1]} for name, row in rows.items()}


def test_table_has_all_rows_and_columns_and_chance_is_exact(benchmark, capsys):
    rows = benchmark("--split", "dev", "--language", "en")
    assert list(rows) == ["chance", "recipe", "default", "best"]
    assert all(list(row) == KEYS for row in rows.values())
    chance = rows["chance"]
    assert [chance[f"R@{k}"] for k in (1, 2, 5, 10)] == pytest.approx([k / N_DEV for k in (1, 2, 5, 10)])
    assert chance["median_rank"] == chance["mean_rank"] == (N_DEV + 1) / 2
    assert chance["MRR"] == pytest.approx(sum(1 / rank for rank in range(1, N_DEV + 1)) / N_DEV)
    assert chance["train_seconds"] == 0
    for name in ("recipe", "default", "best"):
        assert 0 <= rows[name]["R@1"] <= rows[name]["R@2"] <= rows[name]["R@5"] <= rows[name]["R@10"] <= 1
        assert 1 <= rows[name]["mean_rank"] <= N_DEV
        assert rows[name]["train_seconds"] > 0
        # Of 24 photographs too few can be set aside to learn how sure answers are.
        assert rows[name]["calibration_error"] is rows[name]["brier_score"] is None
        assert np.isfinite(rows[name]["hubness"])
    assert rows["default"]["MRR"] > 1.2 * chance["MRR"]
    printed = capsys.readouterr().out
    assert f"{3 * N_DEV} queries, {N_DEV} photographs to find" in printed
    assert all(f"\n{name} " in printed for name in rows)


def test_second_run_reads_the_descriptors_and_gives_the_same(benchmark, cache, monkeypatch):
    first = benchmark("--preset", "default")
    assert any(cache.iterdir())
    monkeypatch.setattr(ImageFeaturizer, "transform", None)
    assert figures(benchmark("--preset", "default")) == figures(first)


def test_featurizer_is_the_one_asked_for_with_a_cache_of_its_own(benchmark, data, cache, monkeypatch):
    before = set(cache.iterdir())
    options = ["--layers", "middle", "--pooling", "max", "--resolution", "64", "--framing", "whole", "center"]
    options += ["--mirrored", "--preset", "default"]
    first = benchmark(*options)
    (file,) = set(cache.iterdir()) - before
    with np.load(file) as kept:
        known = dict(zip(kept["keys"], kept["descriptors"]))
    photo = data / "images" / "0.jpg"
    featurizer = ImageFeaturizer(
        "efficientnet_lite0", layers="middle", pooling="max", resolution=64, framing=("whole", "center")
    ).set_params(mirrored=True)
    found = known[hashlib.sha256(photo.read_bytes()).hexdigest()]
    np.testing.assert_allclose(found, featurizer.transform([photo])[0], atol=1e-5)
    monkeypatch.setattr(ImageFeaturizer, "transform", None)
    assert figures(benchmark(*options)) == figures(first)


def chosen(script, monkeypatch, preset, *options):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--data", "nowhere", *options])
    search = TextImageSearch.from_preset(preset)
    featurizers = script.choose_featurizers(search.featurizer, script.parse_arguments())
    return [each.set_params(verbose=0) for each in featurizers]


def test_searches_describe_photographs_in_their_own_way_unless_told_otherwise(script, monkeypatch):
    own = [each for _, each in TextImageSearch.from_preset("best").featurizer.transformer_list]
    assert len({each.backbone for each in own}) == len(own) > 1
    assert [str(each) for each in chosen(script, monkeypatch, "best")] == [str(each) for each in own]
    (plain,) = chosen(script, monkeypatch, "recipe")
    assert plain.get_params() == ImageFeaturizer("efficientnet_lite2").get_params()
    (default,) = chosen(script, monkeypatch, "default")
    assert default.backbone == "efficientnet_lite2"
    said = TextImageSearch.from_preset("default").featurizer
    for name in ("layers", "pooling", "framing", "mirrored", "normalize"):
        assert getattr(default, name) == getattr(said, name)

    options = ["--layers", "last", "--no-mirrored", "--resolution", "80"]
    given = {"layers": ["last"], "mirrored": False, "resolution": 80}
    for each, same in zip(chosen(script, monkeypatch, "best", *options), own, strict=True):
        assert each.get_params() == same.get_params() | given
    backbones = ["resnet18", "efficientnet_lite0", "resnet50"]
    options = [word for backbone in backbones for word in ("--backbone", backbone)]
    for each, backbone in zip(chosen(script, monkeypatch, "best", *options), backbones, strict=True):
        assert each.get_params() == own[0].get_params() | {"backbone": backbone}


def test_queries_in_another_language_search_the_same_photographs(benchmark, capsys):
    english = benchmark("--language", "en", "--preset", "default")
    spanish = benchmark("--language", "es", "--preset", "default")
    assert figures({"chance": spanish["chance"]}) == figures({"chance": english["chance"]})
    assert f"{3 * (N_DEV - 3)} queries, {N_DEV} photographs to find" in capsys.readouterr().out


def test_training_in_other_languages_than_that_of_the_queries(benchmark, capsys):
    options = ["--language", "es", "--preset", "default"]
    benchmark(*options, "--train-language", "en", "--train-language", "es")
    assert f"{N_TRAIN} photographs with {6 * N_TRAIN} captions" in capsys.readouterr().out


def test_two_backbones_are_laid_side_by_side(benchmark, capsys):
    benchmark("--preset", "default", "--backbone", "efficientnet_lite0")
    assert "efficientnet_lite0 + efficientnet_lite0" in capsys.readouterr().out


def test_split_that_does_not_exist_is_named(benchmark):
    with pytest.raises(ValueError, match=r"split='test' has no row in .* its splits are \['dev', 'train'\]"):
        benchmark("--split", "test")
