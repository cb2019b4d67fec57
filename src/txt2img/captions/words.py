"""From a caption to its words: tokens, stems, and forms without accents."""

import re
import unicodedata
from functools import cache, lru_cache
from typing import Any

from txt2img._optional import import_optional

# ISO 639-1 codes of the languages that Snowball has a stemmer for.
STEMMERS = {
    "ar": "arabic",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "eo": "esperanto",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fa": "persian",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "ne": "nepali",
    "nl": "dutch",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "st": "sesotho",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
}

# Letters that Unicode does not take apart into a plain letter and an accent.
_PLAIN_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "þ": "th", "ı": "i"}
)


def split_words(caption: str) -> list[str]:
    """Lower-case a caption and split it into words of two or more characters.

    Letters, digits and the underscore make words, as in scikit-learn; so do the combining marks that follow
    them, which many scripts write their vowels with.

    Parameters
    ----------
    caption : str
        A sentence, in any Unicode normal form.

    Returns
    -------
    list of str
        The words in their order, in Unicode normal form C.

    Examples
    --------
    >>> split_words("Una JIRAFA y 2 cebras, ¡qué día!")
    ['una', 'jirafa', 'cebras', 'qué', 'día']
    """
    return _word_pattern().findall(unicodedata.normalize("NFC", caption.lower()))


@cache
def _word_pattern() -> re.Pattern[str]:
    basic_plane = map(chr, range(0x10000))  # a class with characters above it is several times slower
    marks = "".join(character for character in basic_plane if unicodedata.category(character) in ("Mn", "Mc"))
    zero_width_joiners = "\u200c\u200d"
    return re.compile(rf"\w[\w{marks}{zero_width_joiners}]+")


@lru_cache(maxsize=2**16)
def fold_accents(word: str) -> str:
    """Spell a word without its accents, as people type it.

    Parameters
    ----------
    word : str
        A word in lower case.

    Returns
    -------
    str
        The word with plain letters.

    Examples
    --------
    >>> [fold_accents(word) for word in ("niño", "árbol", "smørrebrød", "jirafa")]
    ['nino', 'arbol', 'smorrebrod', 'jirafa']
    """
    if word.isascii():
        return word
    # Combining classes below 10 are no accents: they join consonants or make another letter.
    letters = (c for c in unicodedata.normalize("NFKD", word) if unicodedata.combining(c) < 10)
    return unicodedata.normalize("NFC", "".join(letters).translate(_PLAIN_LETTERS))


def load_stemmer(language: str) -> type[Any]:
    """Find the stemmer of a language.

    Always the one in Python of the package snowballstemmer, even where the compiled one is installed, whose
    version may differ.

    Parameters
    ----------
    language : str
        ISO 639-1 code, a key of ``STEMMERS``.

    Returns
    -------
    type
        Class of the stemmer. An object of it must not be shared by threads.

    Raises
    ------
    ValueError
        If there is no stemmer for the language.
    MissingExtraError
        If snowballstemmer is not installed.
    """
    if language not in STEMMERS:
        raise ValueError(
            f"language={language!r} is not known: choose one of {', '.join(STEMMERS)}, "
            "or None to use the words as they are"
        )
    name = STEMMERS[language]
    module = import_optional(
        f"snowballstemmer.{name}_stemmer", extra="text", purpose=f"Stemming (language={language!r})"
    )
    return getattr(module, f"{name.capitalize()}Stemmer")


@lru_cache(maxsize=2**16)
def stem(word: str, language: str) -> str:
    """Reduce a word to its stem.

    Parameters
    ----------
    word : str
        A word in lower case.
    language : str
        ISO 639-1 code, a key of ``STEMMERS``.

    Returns
    -------
    str
        The stem, which need not be a word itself.
    """
    return load_stemmer(language)().stemWord(word)
