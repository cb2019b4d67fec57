"""Photographs with the sentences that describe them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from txt2img._types import Array, StrPath

__all__ = ["CaptionedPhotographs"]


@dataclass(frozen=True, repr=False, init=False)
class CaptionedPhotographs:
    """Photographs, each with one or more captions.

    Parameters
    ----------
    photos : sequence of str or path-like
        Path of each photograph; kept as a list of str.
    captions : sequence of sequences of str
        Captions of each photograph, in the order of `photos`; kept as a list of lists of str.

    Raises
    ------
    ValueError
        If there are not as many lists of captions as photographs, or a photograph has no caption.
    TypeError
        If a photograph is not a path, or its captions are not a sequence of strings.

    Examples
    --------
    >>> from txt2img.datasets import CaptionedPhotographs
    >>> data = CaptionedPhotographs(["cat.jpg", "dog.jpg"], [["a cat", "a kitten"], ["a dog"]])
    >>> data
    CaptionedPhotographs(2 photographs, 3 captions)
    >>> sentences, photograph_of_caption = data.flat()
    >>> sentences
    ['a cat', 'a kitten', 'a dog']
    >>> photograph_of_caption
    array([0, 0, 1])
    >>> data[1:].photos
    ['dog.jpg']
    """

    photos: list[str]
    captions: list[list[str]]

    def __init__(self, photos: Iterable[StrPath], captions: Iterable[Iterable[str]]) -> None:
        paths = _paths(photos)
        sentences = [_sentences(own, position) for position, own in enumerate(captions)]
        if len(paths) != len(sentences):
            raise ValueError(
                f"captions has {len(sentences)} entries but there are {len(paths)} photos: "
                "pass one list of sentences a photograph"
            )
        object.__setattr__(self, "photos", paths)
        object.__setattr__(self, "captions", sentences)

    def __repr__(self) -> str:
        n_captions = sum(map(len, self.captions))
        return f"CaptionedPhotographs({len(self)} photographs, {n_captions} captions)"

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: slice | Sequence[int] | Sequence[bool] | Array) -> CaptionedPhotographs:
        """Take a part of the photographs, with their captions.

        Parameters
        ----------
        index : slice, array-like of int, or array-like of bool of shape (n_photographs,)
            Which photographs to take, in which order.

        Returns
        -------
        CaptionedPhotographs

        Raises
        ------
        TypeError
            If `index` names one photograph only.
        IndexError
            If `index` is out of range, or a mask of the wrong length.
        """
        chosen = np.arange(len(self))[index]
        if chosen.ndim != 1:
            raise TypeError(
                f"index={index!r} does not give a list of photographs: "
                "pass a slice, a one-dimensional array of positions, or a mask"
            )
        return CaptionedPhotographs([self.photos[i] for i in chosen], [self.captions[i] for i in chosen])

    def flat(self) -> tuple[list[str], Array]:
        """List all captions, and say which photograph each of them describes.

        Returns
        -------
        sentences : list of str
            All captions, photograph by photograph.
        photograph_of_caption : ndarray of shape (n_captions,), dtype intp
            Position in `photos` of the photograph of each caption.
        """
        sentences = [sentence for own in self.captions for sentence in own]
        n_captions = np.fromiter(map(len, self.captions), np.intp, len(self))
        return sentences, np.repeat(np.arange(len(self), dtype=np.intp), n_captions)

    def merged_with(self, other: CaptionedPhotographs) -> CaptionedPhotographs:
        """Join the captions of both, as for the same photographs described in two languages.

        Parameters
        ----------
        other : CaptionedPhotographs
            Its photographs are recognised by their paths.

        Returns
        -------
        CaptionedPhotographs
            The photographs of `self` in their order, then those that are in `other` only. A photograph
            that is in both has the captions of `self`, then those of `other`.

        Raises
        ------
        ValueError
            If a path occurs twice in one of the two.
        """
        for name, data in (("self", self), ("other", other)):
            if len(set(data.photos)) != len(data):
                twice = next(photo for photo in data.photos if data.photos.count(photo) > 1)
                raise ValueError(f"{name} has the photograph {twice!r} more than once: keep one of them")
        merged = dict(zip(self.photos, self.captions))
        for photo, captions in zip(other.photos, other.captions):
            merged[photo] = merged.get(photo, []) + captions
        return CaptionedPhotographs(list(merged), list(merged.values()))


def _paths(photos: Iterable[StrPath]) -> list[str]:
    if isinstance(photos, (str, bytes, os.PathLike)):
        raise TypeError(f"photos={photos!r} is a single path: pass a list of paths")
    paths = []
    for position, photo in enumerate(photos):
        if not isinstance(photo, (str, os.PathLike)):
            raise TypeError(f"photos[{position}]={photo!r} is not a path: pass a str or a pathlib.Path")
        paths.append(os.fspath(photo))
    return paths


def _sentences(sentences: Iterable[str], position: int) -> list[str]:
    if isinstance(sentences, str):
        raise TypeError(
            f"captions[{position}]={sentences!r} is a string: pass a list of sentences, [{sentences!r}]"
        )
    sentences = list(sentences)
    if not sentences:
        raise ValueError(f"captions[{position}] is empty: leave out photographs that have no caption")
    for sentence in sentences:
        if not isinstance(sentence, str):
            raise TypeError(f"captions[{position}] holds {sentence!r}: every caption must be a str")
    return [str(sentence) for sentence in sentences]
