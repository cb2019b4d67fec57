"""The words of the captions of drawn scenes."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["GRAMMARS"]


@dataclass(frozen=True)
class Grammar:
    """Words of one language: synonyms for every thing, colour, size, relation and background.

    Nouns come with their gender. ``noun_phrase(noun, gender, colour, size)`` joins the words, of which
    colour and size may be empty.
    """

    nouns: dict[str, tuple[tuple[str, str], ...]]
    colours: dict[str, tuple[str, ...]]
    sizes: dict[str, tuple[str, ...]]
    relations: dict[str, tuple[str, ...]]
    backgrounds: dict[str, tuple[str, ...]]
    conjunctions: tuple[str, ...]
    openings: tuple[str, ...]
    noun_phrase: Callable[[str, str, str, str], str]


def _english_noun_phrase(noun: str, gender: str, colour: str, size: str) -> str:
    words = " ".join(filter(None, (size, colour, noun)))
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _spanish_noun_phrase(noun: str, gender: str, colour: str, size: str) -> str:
    """Put the adjectives after the noun, and give those in -o the ending of a feminine noun."""
    adjectives = [
        word[:-1] + "a" if gender == "f" and word.endswith("o") else word for word in (colour, size) if word
    ]
    return " ".join(["una" if gender == "f" else "un", noun, *adjectives])


GRAMMARS = {
    "en": Grammar(
        nouns={
            "ball": (("ball", ""), ("circle", ""), ("disc", "")),
            "box": (("box", ""), ("square", ""), ("cube", "")),
            "house": (("house", ""), ("cottage", ""), ("building", "")),
            "tree": (("tree", ""), ("fir", "")),
            "boat": (("boat", ""), ("ship", ""), ("sailing boat", "")),
            "car": (("car", ""), ("vehicle", "")),
            "star": (("star", ""),),
            "fish": (("fish", ""), ("animal", "")),
        },
        colours={
            "red": ("red", "crimson"),
            "blue": ("blue",),
            "green": ("green",),
            "yellow": ("yellow",),
            "orange": ("orange",),
            "purple": ("purple", "violet"),
            "white": ("white",),
            "pink": ("pink",),
        },
        sizes={"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")},
        relations={
            "left": ("left of", "to the left of"),
            "right": ("right of", "to the right of"),
            "above": ("above", "over"),
            "below": ("below", "under"),
        },
        backgrounds={
            "grass": ("on the grass", "in a meadow", "on a lawn"),
            "sand": ("on the sand", "on a beach"),
            "sea": ("in the water", "in the sea"),
            "snow": ("in the snow", "on a snowy field"),
            "night": ("at night", "in the dark"),
        },
        conjunctions=("and", "with", "and also"),
        openings=("", "", "there is", "a picture of"),
        noun_phrase=_english_noun_phrase,
    ),
    "es": Grammar(
        nouns={
            "ball": (("pelota", "f"), ("círculo", "m"), ("bola", "f")),
            "box": (("caja", "f"), ("cuadrado", "m"), ("cubo", "m")),
            "house": (("casa", "f"), ("edificio", "m"), ("vivienda", "f")),
            "tree": (("árbol", "m"), ("abeto", "m")),
            "boat": (("barco", "m"), ("barca", "f"), ("velero", "m")),
            "car": (("coche", "m"), ("auto", "m"), ("vehículo", "m")),
            "star": (("estrella", "f"),),
            "fish": (("pez", "m"), ("animal", "m")),
        },
        colours={
            "red": ("rojo", "colorado"),
            "blue": ("azul",),
            "green": ("verde",),
            "yellow": ("amarillo",),
            "orange": ("naranja", "anaranjado"),
            "purple": ("morado", "violeta"),
            "white": ("blanco",),
            "pink": ("rosa", "rosado"),
        },
        sizes={"small": ("pequeño", "diminuto"), "large": ("grande", "enorme")},
        relations={
            "left": ("a la izquierda de",),
            "right": ("a la derecha de",),
            "above": ("encima de", "por encima de"),
            "below": ("debajo de", "bajo"),
        },
        backgrounds={
            "grass": ("sobre la hierba", "en un prado", "en el césped"),
            "sand": ("sobre la arena", "en una playa"),
            "sea": ("en el agua", "en el mar"),
            "snow": ("en la nieve", "en un campo nevado"),
            "night": ("de noche", "en la oscuridad"),
        },
        conjunctions=("y", "con", "y también"),
        openings=("", "", "hay", "una imagen de"),
        noun_phrase=_spanish_noun_phrase,
    ),
}
