import re

import numpy as np
import pytest

from txt2img.datasets import make_captioned_scenes
from txt2img.datasets._scene_grammar import GRAMMARS
from txt2img.datasets.scenes import _BACKGROUNDS, _COLOURS


def colour_mask(image, colour):
    """Pixels that were drawn in this very colour."""
    return np.all(np.asarray(image) == _COLOURS[colour], axis=-1)


def named(words_of, caption):
    """Keys one of whose words is in the caption; Spanish adjectives in either gender."""

    def pattern(word):
        return rf"\b{word[:-1]}[oa]\b" if word.endswith("o") else rf"\b{word}\b"

    return {key for key, words in words_of.items() if any(re.search(pattern(w), caption) for w in words)}


@pytest.fixture(scope="module", params=["en", "es"])
def scenes(request):
    images, captions = make_captioned_scenes(60, 5, language=request.param, size=(96, 96), random_state=1)
    return GRAMMARS[request.param], images, captions


def test_captions_name_only_colours_that_are_in_the_picture(scenes):
    grammar, images, captions = scenes
    n_named = 0
    for image, own in zip(images, captions, strict=True):
        for caption in own:
            for colour in named(grammar.colours, caption):
                assert colour_mask(image, colour).any(), (colour, caption)
                n_named += 1
    assert n_named > 100


def test_captions_name_the_background_that_is_in_the_picture(scenes):
    grammar, images, captions = scenes
    n_named = 0
    for image, own in zip(images, captions, strict=True):
        corner = np.median(np.asarray(image).reshape(-1, 3), axis=0)
        nearest = min(_BACKGROUNDS, key=lambda name: np.abs(corner - _BACKGROUNDS[name]).sum())
        for caption in own:
            backgrounds = named(grammar.backgrounds, caption)
            assert backgrounds <= {nearest}, caption
            n_named += len(backgrounds)
    assert n_named > 50


def test_captions_tell_truly_how_things_lie(scenes):
    grammar, images, captions = scenes
    axis_and_sign = {"left": (1, -1), "right": (1, 1), "above": (0, -1), "below": (0, 1)}
    n_told = 0
    for image, own in zip(images, captions, strict=True):
        for caption in own:
            for relation, (axis, sign) in axis_and_sign.items():
                for words in grammar.relations[relation]:
                    first, found, second = caption.partition(f" {words} ")
                    colours = [named(grammar.colours, part) for part in (first, second)]
                    if found and all(colours):
                        centres = [
                            np.argwhere(colour_mask(image, colour)).mean(axis=0)[axis]
                            for (colour,) in colours
                        ]
                        assert sign * (centres[0] - centres[1]) > 5, caption
                        n_told += 1
    assert n_told > 20


def test_spanish_adjectives_agree_with_their_noun():
    _, captions = make_captioned_scenes(100, language="es")
    text = " . ".join(caption for own in captions for caption in own)
    assert re.search(r"\buna (casa|caja|pelota|estrella) (roja|amarilla|blanca)\b", text)
    for noun_phrase in re.findall(r"\buna \w+ \w+", text):
        assert not noun_phrase.endswith(("rojo", "amarillo", "blanco", "morado", "pequeño", "diminuto"))
    for noun_phrase in re.findall(r"\bun \w+ \w+", text):
        assert not noun_phrase.endswith(("roja", "amarilla", "blanca", "morada", "pequeña", "diminuta"))


def test_english_articles():
    _, captions = make_captioned_scenes(100)
    text = " ".join(caption for own in captions for caption in own)
    assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text.replace("and also a", ""))
    assert " an orange " in text


def test_same_seed_same_scenes_in_both_languages():
    images, captions = make_captioned_scenes(8, random_state=3)
    again, same_captions = make_captioned_scenes(8, random_state=3)
    spanish_images, spanish = make_captioned_scenes(8, language="es", random_state=3)
    other_images, _ = make_captioned_scenes(8, random_state=4)
    assert [i.tobytes() for i in images] == [i.tobytes() for i in again]
    assert captions == same_captions
    assert [i.tobytes() for i in images] == [i.tobytes() for i in spanish_images]
    assert captions != spanish
    assert [i.tobytes() for i in images] != [i.tobytes() for i in other_images]


def test_numbers_and_size_are_as_asked_for():
    images, captions = make_captioned_scenes(4, 3, size=(48, 32))
    assert [(image.mode, image.size) for image in images] == [("RGB", (48, 32))] * 4
    assert [len(own) for own in captions] == [3] * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_photographs": 0}, "n_photographs == 0"),
        ({"captions_per_photograph": 0}, "captions_per_photograph == 0"),
        ({"language": "fr"}, "language='fr' is unknown: choose among"),
        ({"size": (64, 8)}, "size == 8"),
        ({"size": 64}, "size=64 must be a width and a height"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_captioned_scenes(**arguments)
