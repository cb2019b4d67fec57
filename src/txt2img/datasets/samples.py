"""The photographs that come inside scikit-image and scikit-learn, captioned in English and Spanish."""

import json
from collections.abc import Sequence
from importlib import resources

from txt2img._optional import import_optional
from txt2img.datasets.captioned import CaptionedPhotographs

__all__ = ["load_sample_photographs"]

_LANGUAGES = ("en", "es")


def load_sample_photographs(language: str | Sequence[str] = ("en", "es")) -> CaptionedPhotographs:
    """Find the real photographs inside scikit-image and scikit-learn, with captions written for them.

    Nothing is downloaded: the pictures are part of the two packages. Of these those are taken that are
    photographs, not drawings, masks or views through a microscope. ``samples.json`` beside this module names
    the licence of each.

    Parameters
    ----------
    language : {"en", "es"} or sequence of these, default=("en", "es")
        Languages of the captions, three a photograph and language.

    Returns
    -------
    CaptionedPhotographs
        18 photographs. With several languages the captions follow the order of `language`.

    Raises
    ------
    ValueError
        If there are no captions in a language.
    MissingExtraError
        If scikit-image is not installed.
    FileNotFoundError
        If an installed package lacks one of its pictures.

    Examples
    --------
    >>> from txt2img.datasets import load_sample_photographs
    >>> data = load_sample_photographs("es")
    >>> data
    CaptionedPhotographs(18 photographs, 54 captions)
    >>> data.captions[0][0]
    'Una astronauta sonriente con un traje espacial naranja'
    """
    languages = (language,) if isinstance(language, str) else tuple(language)
    unknown = [code for code in languages if code not in _LANGUAGES]
    if unknown or not languages:
        raise ValueError(f"language={language!r} is unknown: choose among {_LANGUAGES}")
    import_optional("skimage", extra="offline", purpose="The set of sample photographs")
    folder_of_package = {
        "scikit-image": resources.files("skimage") / "data",
        "scikit-learn": resources.files("sklearn") / "datasets" / "images",
    }
    text = (resources.files("txt2img.datasets") / "samples.json").read_text(encoding="utf-8")
    photos, captions = [], []
    for sample in json.loads(text)["photographs"]:
        photo = folder_of_package[sample["package"]] / sample["file"]
        if not photo.is_file():
            raise FileNotFoundError(f"{photo} does not exist: reinstall {sample['package']}")
        photos.append(str(photo))
        captions.append([sentence for code in languages for sentence in sample[code]])
    return CaptionedPhotographs(photos, captions)
