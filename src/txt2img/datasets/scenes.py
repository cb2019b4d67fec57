"""Drawn scenes with captions in English or Spanish, for tests and examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from sklearn.utils import check_random_state, check_scalar

from txt2img._types import Seed
from txt2img.datasets._scene_grammar import GRAMMARS, Grammar

if TYPE_CHECKING:
    from PIL import Image

T = TypeVar("T")

__all__ = ["make_captioned_scenes"]

_BACKGROUNDS = {
    "grass": (70, 120, 50),
    "sand": (220, 200, 150),
    "sea": (80, 160, 190),
    "snow": (215, 225, 235),
    "night": (20, 25, 60),
}
_COLOURS = {
    "red": (220, 30, 30),
    "blue": (30, 60, 230),
    "green": (40, 220, 60),
    "yellow": (250, 230, 40),
    "orange": (250, 140, 20),
    "purple": (140, 40, 180),
    "white": (255, 255, 255),
    "pink": (250, 150, 200),
}
_STAR = [
    coordinate
    for corner in range(10)
    for coordinate in (
        (1 - 0.6 * (corner % 2)) * math.sin(math.pi * corner / 5),
        -(1 - 0.6 * (corner % 2)) * math.cos(math.pi * corner / 5),
    )
]
# What each thing is drawn of, in the square from -1 to 1 with y downwards.
_PARTS: dict[str, list[tuple[str, list[float]]]] = {
    "ball": [("ellipse", [-1, -1, 1, 1])],
    "box": [("rectangle", [-0.9, -0.9, 0.9, 0.9])],
    "house": [("rectangle", [-0.7, -0.1, 0.7, 1]), ("polygon", [-1, -0.1, 0, -1, 1, -0.1])],
    "tree": [("rectangle", [-0.2, 0.4, 0.2, 1]), ("polygon", [0, -1, -0.8, 0.4, 0.8, 0.4])],
    "boat": [("polygon", [-1, 0.3, 1, 0.3, 0.6, 0.9, -0.6, 0.9]), ("polygon", [0, -1, 0, 0.2, 0.8, 0.2])],
    "car": [
        ("rectangle", [-0.5, -0.6, 0.5, -0.1]),
        ("rectangle", [-1, -0.1, 1, 0.5]),
        ("ellipse", [-0.8, 0.2, -0.3, 0.7]),
        ("ellipse", [0.3, 0.2, 0.8, 0.7]),
    ],
    "star": [("polygon", _STAR)],
    "fish": [("ellipse", [-1, -0.5, 0.5, 0.5]), ("polygon", [0.3, 0, 1, -0.6, 1, 0.6])],
}
_OUTLINE = (40, 40, 40)
_OVERSAMPLING = 4
_GRAIN = 6.0


def make_captioned_scenes(
    n_photographs: int = 200,
    captions_per_photograph: int = 5,
    *,
    language: Literal["en", "es"] = "en",
    size: tuple[int, int] = (64, 64),
    random_state: Seed = 0,
) -> tuple[list[Image.Image], list[list[str]]]:
    """Draw scenes of a few coloured things, and describe each of them in several ways.

    Two or three things of different colours (balls, boxes, houses, trees, boats, cars, stars, fish; small
    or large) lie on grass, sand, water or snow, or in the night. A caption tells only a part of its scene:
    one or two of the things, their colour or size or neither, how they lie to each other, the background or
    not, in varying words. Many captions fit several scenes, so a perfect search is not possible.

    Parameters
    ----------
    n_photographs : int, default=200
        Number of scenes.
    captions_per_photograph : int, default=5
        Number of captions of each.
    language : {"en", "es"}, default="en"
        Language of the captions. The scenes of one `random_state` are the same in both.
    size : tuple of (int, int), default=(64, 64)
        Width and height of the pictures in pixels, each at least 16.
    random_state : int, RandomState instance or None, default=0
        Seed of the scenes and their captions.

    Returns
    -------
    images : list of PIL.Image.Image
        Pictures in RGB.
    captions : list of list of str
        Captions of each picture.

    Raises
    ------
    ValueError
        If the language is unknown, a number is below 1, or `size` is not two sides of at least 16.

    Examples
    --------
    >>> from txt2img.datasets import make_captioned_scenes
    >>> images, captions = make_captioned_scenes(3, 2, language="es")
    >>> images[0].size
    (64, 64)
    >>> [len(own) for own in captions]
    [2, 2, 2]
    """
    check_scalar(n_photographs, "n_photographs", Integral, min_val=1)
    check_scalar(captions_per_photograph, "captions_per_photograph", Integral, min_val=1)
    if np.shape(size) != (2,):
        raise ValueError(f"size={size!r} must be a width and a height in pixels, for example (64, 64)")
    for side in size:
        check_scalar(side, "size", Integral, min_val=16)
    if language not in GRAMMARS:
        raise ValueError(f"language={language!r} is unknown: choose among {tuple(GRAMMARS)}")
    rng = check_random_state(random_state)
    scenes = [_make_scene(rng) for _ in range(n_photographs)]
    images = [_draw(scene, size, rng) for scene in scenes]
    captions = [
        [_describe(scene, GRAMMARS[language], rng) for _ in range(captions_per_photograph)]
        for scene in scenes
    ]
    return images, captions


@dataclass(frozen=True)
class _Thing:
    kind: str
    colour: str
    size: str
    column: int
    row: int


@dataclass(frozen=True)
class _Scene:
    background: str
    things: tuple[_Thing, ...]


def _make_scene(rng: np.random.RandomState) -> _Scene:
    n_things = rng.randint(2, 4)
    kinds = rng.choice(list(_PARTS), n_things)
    colours = rng.choice(list(_COLOURS), n_things, replace=False)
    sizes = rng.choice(["small", "large"], n_things)
    cells = rng.choice(9, n_things, replace=False)
    things = tuple(
        _Thing(str(kind), str(colour), str(size), int(cell) % 3, int(cell) // 3)
        for kind, colour, size, cell in zip(kinds, colours, sizes, cells)
    )
    return _Scene(str(rng.choice(list(_BACKGROUNDS))), things)


def _draw(scene: _Scene, size: tuple[int, int], rng: np.random.RandomState) -> Image.Image:
    from PIL import Image, ImageDraw

    width, height = (side * _OVERSAMPLING for side in size)
    grain = rng.normal(scale=_GRAIN, size=(size[1], size[0], 1))
    ground = np.clip(_BACKGROUNDS[scene.background] + grain, 0, 255).astype(np.uint8)
    image = Image.fromarray(ground).resize((width, height), Image.Resampling.NEAREST)
    pencil = ImageDraw.Draw(image)
    for thing in scene.things:
        reach = 0.15 if thing.size == "large" else 0.08
        centre = np.array([thing.column, thing.row]) / 3 + 1 / 6 + rng.uniform(-0.01, 0.01, 2)
        for method, corners in _PARTS[thing.kind]:
            points = (np.reshape(corners, (-1, 2)) * reach + centre) * (width, height)
            draw = getattr(pencil, method)
            draw(points.ravel().tolist(), fill=_COLOURS[thing.colour], outline=_OUTLINE, width=2)
    return image.resize(size, Image.Resampling.BOX)


def _describe(scene: _Scene, grammar: Grammar, rng: np.random.RandomState) -> str:
    first, second = (scene.things[i] for i in rng.permutation(len(scene.things))[:2])
    words = [_pick(grammar.openings, rng), _noun_phrase(first, grammar, rng)]
    if rng.uniform() < 0.6:
        link = grammar.relations[_relation(first, second)] if rng.uniform() < 0.6 else grammar.conjunctions
        words += [_pick(link, rng), _noun_phrase(second, grammar, rng)]
    if rng.uniform() < 0.4:
        words.append(_pick(grammar.backgrounds[scene.background], rng))
    return " ".join(filter(None, words))


def _relation(first: _Thing, second: _Thing) -> str:
    """Say where the first thing lies as seen from the second."""
    if first.column != second.column:
        return "left" if first.column < second.column else "right"
    return "above" if first.row < second.row else "below"


def _noun_phrase(thing: _Thing, grammar: Grammar, rng: np.random.RandomState) -> str:
    noun, gender = _pick(grammar.nouns[thing.kind], rng)
    colour = _pick(grammar.colours[thing.colour], rng) if rng.uniform() < 0.7 else ""
    size = _pick(grammar.sizes[thing.size], rng) if rng.uniform() < 0.5 else ""
    return grammar.noun_phrase(noun, gender, colour, size)


def _pick(choices: Sequence[T], rng: np.random.RandomState) -> T:
    return choices[rng.randint(len(choices))]
