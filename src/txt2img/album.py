"""An album: a search of the photographs in some folders, which keeps up with them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from txt2img._files import only_writer
from txt2img._types import StrPath
from txt2img.exceptions import SavedFileError, UnreadablePhotographError
from txt2img.images import ImageFeaturizer, list_photographs
from txt2img.persistence import MANIFEST
from txt2img.search import TextImageSearch

if TYPE_CHECKING:
    from txt2img.datasets import CaptionedPhotographs
    from txt2img.evaluation import RetrievalReport

CHANGED = "changed"


class Album:
    """A search that lies in a folder, beside the descriptors of all photographs it has ever seen.

    Nothing is written into the folders of the photographs. One process at a time may change an album; others
    may search it meanwhile.

    Parameters
    ----------
    home : str or path-like
        Folder of the album; it is made when it is first needed.
    backbone : str, default="efficientnet_lite2"
        Image network for what is learned or taken in for the first time.
    verbose : int, default=0
        As in `ImageFeaturizer`.

    Examples
    --------
    >>> import tempfile
    >>> from txt2img.album import Album
    >>> with tempfile.TemporaryDirectory() as home:
    ...     Album(home).load() is None
    True
    """

    def __init__(self, home: StrPath, *, backbone: str = "efficientnet_lite2", verbose: int = 0) -> None:
        self.home = Path(home)
        self.backbone = backbone
        self.verbose = verbose

    def load(self) -> TextImageSearch | None:
        """Load the search.

        Returns
        -------
        TextImageSearch or None
            None if the album is new.
        """
        if not (self._folder / MANIFEST).exists():
            return None
        return TextImageSearch.load(self._folder)

    def index(self, folders: Iterable[StrPath]) -> dict[str, Any]:
        """Take in what is new or changed in folders, and forget what is there no more.

        Without captions learned before, words are known by the names of the classes of the backbone.

        Parameters
        ----------
        folders : sequence of path-like
            Folders, walked through.

        Returns
        -------
        dict
            Lists of paths ``"added"`` and ``"removed"``, ``"failed"`` as a list of (path, reason), and the
            number of ``"photographs"`` in the album.

        Raises
        ------
        NotADirectoryError
            If one of `folders` is not a folder.
        SavedFileError
            If another process is changing the album.
        """
        roots = [os.path.abspath(folder) for folder in folders]
        there = {path: _time_of_change(path) for root in roots for path in _photographs(root)}
        with self._locked():
            search = self.load() or TextImageSearch.from_class_names(self.backbone)
            known = _known(search)
            below = tuple(os.path.join(root, "") for root in roots)
            gone = [path for path in known if path.startswith(below) and there.get(path) != known[path]]
            new = [path for path in there if known.get(path) != there[path]]
            if gone:
                search.remove(gone)
            failed = self._add(search, new, there)
            if gone or new:
                search.save(self._folder)
        unreadable = {path for path, _ in failed}
        return {
            "added": [path for path in new if path not in unreadable],
            "removed": [path for path in gone if path not in there],
            "failed": failed,
            "photographs": len(search),
        }

    def train(self, captioned: CaptionedPhotographs, preset: str = "default") -> TextImageSearch:
        """Learn from captioned photographs, and take in again what was in the album.

        Parameters
        ----------
        captioned : CaptionedPhotographs
            Photographs and their captions.
        preset : str, default="default"
            As in `TextImageSearch.from_preset`.

        Returns
        -------
        TextImageSearch
            The new search.

        Raises
        ------
        SavedFileError
            If another process is changing the album.
        """
        with self._locked():
            before = self.load()
            search = TextImageSearch.from_preset(preset)
            for name in search.get_params():
                if name.endswith("featurizer__backbone"):
                    search.set_params(**{name: self.backbone})
            self._prepare(search.featurizer)
            with _quiet_about_unreadable_photographs():
                search.fit(captioned.photos, captioned.captions)
            if before is not None:
                there = {path: changed for path, changed in _known(before).items() if os.path.exists(path)}
                self._add(search, list(there), there)
            search.save(self._folder)
        return search

    def evaluate(self, captioned: CaptionedPhotographs) -> RetrievalReport:
        """Ask with the captions of photographs that were not learned from.

        Parameters
        ----------
        captioned : CaptionedPhotographs
            Photographs, which need not be in the album, and their captions.

        Returns
        -------
        RetrievalReport
            As from `TextImageSearch.evaluate`.

        Raises
        ------
        ValueError
            If the album is new.
        """
        search = self.load()
        if search is None:
            raise ValueError("nothing was learned yet: learn from captioned photographs with txt2img train")
        self._prepare(search.featurizer_)
        return search.evaluate(captioned.photos, captioned.captions)

    @property
    def _folder(self) -> Path:
        return self.home / "search"

    def _add(
        self, search: TextImageSearch, paths: list[str], times: Mapping[str, int]
    ) -> list[tuple[str, str]]:
        """Take photographs in, and return the path of each that could not be read, with the reason."""
        if not paths:
            return []
        featurizers = self._prepare(search.featurizer_)
        try:
            with _quiet_about_unreadable_photographs():
                search.add(paths, metadata={CHANGED: [times[path] for path in paths]})
        except UnreadablePhotographError:
            pass  # not one of them can be read, and the reasons are told all the same
        return [(each.path, each.reason) for each in featurizers[0].failures_]

    def _prepare(self, featurizer: Any) -> list[ImageFeaturizer]:
        """Let featurizers keep descriptors in the album and go on after faults; return them all."""
        parts = [featurizer, *featurizer.get_params().values()]
        featurizers = [each for each in parts if isinstance(each, ImageFeaturizer)]
        for each in featurizers:
            each.set_params(cache=os.fspath(self.home / "descriptors"), on_error="warn", verbose=self.verbose)
        return featurizers

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.home.mkdir(parents=True, exist_ok=True)
        with only_writer(self.home):
            yield


def _known(search: TextImageSearch) -> dict[str, int]:
    """Return the paths of a gallery with the time of change that they were taken in with."""
    index = search.index_
    if index is None or not len(index):
        return {}
    if CHANGED not in index.metadata_:
        raise SavedFileError("the search of the album was not saved by an album: take another folder as home")
    return dict(zip(index.ids_.tolist(), index.metadata_[CHANGED].tolist()))


def _photographs(folder: str) -> list[str]:
    try:
        return list_photographs(folder)
    except ValueError:  # it holds none, or none any more
        return []


def _time_of_change(path: str) -> int:
    return os.stat(path).st_mtime_ns


@contextmanager
def _quiet_about_unreadable_photographs() -> Iterator[None]:
    """They are returned, or known to the caller, one by one."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(cannot be read|are left out)", category=UserWarning)
        yield
