import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from txt2img.datasets import load_sample_photographs
from txt2img.exceptions import MissingExtraError


def test_photographs_are_real_and_all_different():
    data = load_sample_photographs()
    assert len(data) >= 16
    thumbnails = []
    for photo in data.photos:
        with Image.open(photo) as image:
            thumbnails.append(np.asarray(image.convert("L").resize((16, 16)), dtype=float).ravel())
    similarity = np.corrcoef(thumbnails) - np.eye(len(data))
    assert similarity.max() < 0.9


@pytest.mark.parametrize("language", ["en", "es"])
def test_captions_are_sentences_told_once(language):
    data = load_sample_photographs(language)
    sentences, _ = data.flat()
    assert min(map(len, data.captions)) >= 2
    assert len(set(sentences)) == len(sentences)
    assert all(sentence == sentence.strip() and len(sentence.split()) >= 2 for sentence in sentences)


def test_languages_are_joined_in_the_order_asked_for():
    english, spanish = load_sample_photographs("en"), load_sample_photographs("es")
    assert load_sample_photographs(("en", "es")) == english.merged_with(spanish)
    assert load_sample_photographs(["es", "en"]) == spanish.merged_with(english)


@pytest.mark.parametrize(
    ("photo", "english", "spanish"),
    [
        ("chelsea", "cat", "gato"),
        ("motorcycle_left", "motorcycle", "moto"),
        ("flower", "flower", "flor"),
        ("rocket", "rocket", "cohete"),
        ("china", "temple", "templo"),
        ("coins", "coins", "monedas"),
    ],
)
def test_captions_belong_to_their_photograph(photo, english, spanish):
    for language, word in (("en", english), ("es", spanish)):
        data = load_sample_photographs(language)
        with_word = {
            Path(path).stem
            for path, captions in zip(data.photos, data.captions)
            if word in " ".join(captions).lower().replace(",", "").split()
        }
        assert with_word == {photo}


@pytest.mark.parametrize("language", ["fr", ("en", "fr"), ()])
def test_unknown_language_is_named(language):
    with pytest.raises(ValueError, match=r"language=.* is unknown: choose among \('en', 'es'\)"):
        load_sample_photographs(language)


def test_without_scikit_image_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(MissingExtraError, match=r"txt2img\[offline\]"):
        load_sample_photographs()
