"""Photographs and captions of COCO, for those who have a network."""

import os
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from numbers import Integral
from pathlib import Path

from sklearn.utils import check_scalar

from txt2img._files import write_whole
from txt2img._progress import Progress
from txt2img._types import StrPath
from txt2img.datasets.captioned import CaptionedPhotographs
from txt2img.datasets.download import download
from txt2img.datasets.loaders import load_coco_captions, read_coco_captions

SERVER = "http://images.cocodataset.org"
# The sums of the archives as they have been since they were published.
MD5_OF_YEAR = {"2014": "0a379cfc70b0e71301e0f377548639bd", "2017": "f4bbac642086de4f52a3fdda2de5fa2c"}
SPLITS = tuple(part + year for year in MD5_OF_YEAR for part in ("train", "val"))
N_CONNECTIONS = 8


def fetch_coco_captions(
    folder: StrPath,
    *,
    split: str = "val2017",
    n_photographs: int | None = 1000,
    captions: StrPath | None = None,
    verbose: int = 0,
) -> CaptionedPhotographs:
    """Download photographs of COCO, and read them with their captions.

    The captions of all splits of a year come in one archive of 250 MB, photographs one by one, of 160 KB on
    average. What is in the folder already is not downloaded again, so that work that was interrupted goes on
    where it was.

    Parameters
    ----------
    folder : str or path-like
        Where to keep the files; about 20 GB for all of a training split.
    split : {"val2017", "train2017", "val2014", "train2014"}, default="val2017"
        5,000, 118,287, 40,504 and 82,783 photographs.
    n_photographs : int or None, default=1000
        How many photographs to take, the first ones of the file of captions; None takes all.
    captions : str or path-like, default=None
        File of captions in COCO's format in place of the English ones, such as a translation of yours, whose
        photographs are those of `split`.
    verbose : int, default=0
        If positive, progress is printed to standard error.

    Returns
    -------
    CaptionedPhotographs
        Photographs in the order of the file of captions.

    Raises
    ------
    DownloadError
        If the server cannot be reached, or sends something else. Offline, the message says which file to put
        where.
    FileNotFoundError
        If there is no file `captions`.
    ValueError
        If COCO has no such split.

    References
    ----------
    X. Chen et al., "Microsoft COCO Captions: Data Collection and Evaluation Server", arXiv:1504.00325.

    Examples
    --------
    >>> from txt2img.datasets import fetch_coco_captions
    >>> captioned = fetch_coco_captions("coco", n_photographs=2000, verbose=1)  # doctest: +SKIP
    """
    if split not in SPLITS:
        raise ValueError(f"split={split!r} is unknown: choose one of {', '.join(map(repr, SPLITS))}")
    if n_photographs is not None:
        check_scalar(n_photographs, "n_photographs", Integral, min_val=1)
    folder = Path(folder)
    if captions is None:
        captions = folder / f"captions_{split}.json"
        if not captions.exists():
            _fetch_captions(captions, split, verbose)
    names = list(read_coco_captions(captions))[:n_photographs]
    _fetch_photographs(names, folder / split, split, verbose)
    return load_coco_captions(captions, folder / split, limit=n_photographs)


def _fetch_captions(captions: Path, split: str, verbose: int) -> None:
    year = split[-4:]
    archive = captions.with_name(f"annotations_trainval{year}.zip")
    progress = None

    def show(n_bytes: int, n_all: int | None) -> None:
        nonlocal progress
        if n_all:
            progress = progress or Progress(n_all // 10**6, "MB of captions", verbose=verbose)
            progress.show(n_bytes // 10**6)

    download(f"{SERVER}/annotations/{archive.name}", archive, md5=MD5_OF_YEAR[year], show=show)
    with zipfile.ZipFile(archive) as opened, opened.open(f"annotations/{captions.name}") as source:
        write_whole(captions, lambda stream: shutil.copyfileobj(source, stream))


def _fetch_photographs(names: list[str], folder: Path, split: str, verbose: int) -> None:
    there = {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
    missing = [name for name in names if name not in there]
    progress = Progress(len(missing), "photographs", verbose=verbose)
    with ThreadPoolExecutor(N_CONNECTIONS) as pool:
        fetch = partial(_fetch_photograph, folder=folder, split=split)
        futures = [pool.submit(fetch, name) for name in missing]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                future.result()
                progress.show(done)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _fetch_photograph(name: str, folder: Path, split: str) -> None:
    if name != os.path.basename(name):
        raise ValueError(f"the captions are of a photograph named {name!r}, which must be a name and no path")
    download(f"{SERVER}/{split}/{name}", folder / name)
