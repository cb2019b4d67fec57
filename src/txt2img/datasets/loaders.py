"""Readers of the files in which captions of photographs are usually kept."""

import csv
import json
import os
import re
from collections.abc import Iterator
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

from sklearn.utils import check_scalar

from txt2img._types import StrPath
from txt2img.datasets.captioned import CaptionedPhotographs

__all__ = [
    "load_captions",
    "load_captions_table",
    "load_coco_captions",
    "load_flickr_tokens",
    "load_sidecar_captions",
]

_SEPARATOR_OF_SUFFIX = {".tsv": "\t", ".tab": "\t", ".csv": ","}
_PHOTO_SUFFIXES = {
    ".jpg",
    ".jpeg",
    ".png",
    ".webp",
    ".bmp",
    ".gif",
    ".tif",
    ".tiff",
    ".heic",
    ".heif",
    ".avif",
}
_FLICKR_LINE = re.compile(r"(?P<image>[^\t]+)#\d+\t(?P<caption>.*)", re.DOTALL)


def load_captions(
    path: StrPath, images: StrPath | None = None, *, missing: Literal["raise", "ignore"] = "raise"
) -> CaptionedPhotographs:
    r"""Read captioned photographs from a file or folder, whatever its format.

    A folder is read by `load_sidecar_captions`, ``.json`` by `load_coco_captions`, ``.tsv`` and ``.csv``
    by `load_captions_table`. Any other file is read by `load_flickr_tokens` or `load_captions_table`,
    whichever its first line calls for.

    Parameters
    ----------
    path : str or path-like
        File of captions, or folder of photographs with text files beside them.
    images : str or path-like, default=None
        Folder of the photographs. None takes the folder ``images`` beside the file if there is one, and
        the folder of the file otherwise. Not used if `path` is a folder.
    missing : {"raise", "ignore"}, default="raise"
        What to do if a captioned photograph does not exist: raise an error, or leave it out.

    Returns
    -------
    CaptionedPhotographs

    Raises
    ------
    FileNotFoundError
        If `path`, `images` or, with ``missing="raise"``, a captioned photograph does not exist.
    ValueError
        If the format is not recognised, or the file is not as its format wants it.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from txt2img.datasets import load_captions
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "cat.jpg").write_bytes(b"")
    ...     table = pathlib.Path(folder, "captions.tsv")
    ...     _ = table.write_text("image\tcaption\ncat.jpg\tun gato\n", encoding="utf-8")
    ...     load_captions(table).captions
    [['un gato']]
    """
    path = Path(path)
    if path.is_dir():
        return load_sidecar_captions(path)
    suffix = path.suffix.lower()
    if suffix == ".json":
        return load_coco_captions(path, images, missing=missing)
    if suffix in _SEPARATOR_OF_SUFFIX:
        return load_captions_table(path, images, missing=missing)
    first_line = next(_lines(path), "")
    if _FLICKR_LINE.match(first_line):
        return load_flickr_tokens(path, images, missing=missing)
    for sep in ("\t", ","):
        if {"image", "caption"} <= {column.strip() for column in first_line.split(sep)}:
            return load_captions_table(path, images, sep=sep, missing=missing)
    raise ValueError(
        f"path={str(path)!r} begins with {first_line[:80]!r}, which is no known format of captions: pass a "
        "table with the columns image and caption (.tsv, .csv), COCO captions (.json), lines as in Flickr8k "
        "('name.jpg#0<TAB>caption'), or a folder of photographs with .txt files beside them"
    )


def load_captions_table(
    path: StrPath,
    images: StrPath | None = None,
    *,
    split: str | None = None,
    sep: str | None = None,
    missing: Literal["raise", "ignore"] = "raise",
) -> CaptionedPhotographs:
    r"""Read a table with one caption a row, in columns named ``image`` and ``caption``.

    Tab-separated files are read without quoting: a quotation mark is a character like any other. Files
    with another separator follow the usual rules of CSV. Rows without a caption are left out; a row that
    occurs twice gives two captions.

    Parameters
    ----------
    path : str or path-like
        File in UTF-8, with or without byte-order mark, whose first line names the columns. Further
        columns are ignored.
    images : str or path-like, default=None
        Folder of the photographs, to which the column ``image`` is relative. None takes the folder
        ``images`` beside the file if there is one, and the folder of the file otherwise.
    split : str, default=None
        Only the rows that have this in the column ``split``. None takes all rows.
    sep : str, default=None
        Separator of the columns, one character. None goes by the suffix: ``.tsv`` and ``.tab`` are
        tab-separated, ``.csv`` is comma-separated.
    missing : {"raise", "ignore"}, default="raise"
        What to do if a captioned photograph does not exist: raise an error, or leave it out.

    Returns
    -------
    CaptionedPhotographs
        Photographs and captions in the order in which they first appear in the file.

    Raises
    ------
    FileNotFoundError
        If `path`, `images` or, with ``missing="raise"``, a captioned photograph does not exist.
    ValueError
        If a column is missing, a row has too few or too many columns, or no row is of the split.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from txt2img.datasets import load_captions_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "cat.jpg").write_bytes(b"")
    ...     table = pathlib.Path(folder, "captions.csv")
    ...     _ = table.write_text('split,image,caption\ntrain,cat.jpg,"a cat, asleep"\n', encoding="utf-8")
    ...     load_captions_table(table, split="train").captions
    [['a cat, asleep']]
    """
    if sep is None:
        sep = _SEPARATOR_OF_SUFFIX.get(Path(path).suffix.lower())
        if sep is None:
            raise ValueError(
                f"path={str(path)!r} ends neither in .tsv nor in .csv: pass sep, for example sep='\\t'"
            )
    rows = _table_rows(path, sep)
    _, header = next(rows, (0, []))
    header = [column.strip() for column in header]
    wanted = ["image", "caption"] if split is None else ["image", "caption", "split"]
    absent = [column for column in wanted if column not in header]
    if absent:
        raise ValueError(
            f"{path} has no column {absent[0]!r}, its columns are {header}: name the columns in the first "
            f"line, and check the separator sep={sep!r}"
        )
    captions_of: dict[str, list[str]] = {}
    splits = set()
    for line_number, row in rows:
        if len(row) != len(header):
            raise ValueError(
                f"{path}, line {line_number}: {len(row)} columns instead of {len(header)}: {row[:4]}"
            )
        cells = {column: cell.strip() for column, cell in zip(header, row)}
        splits.add(cells.get("split", ""))
        if cells["caption"] and (split is None or split == cells["split"]):
            captions_of.setdefault(cells["image"], []).append(cells["caption"])
    if split is not None and split not in splits:
        raise ValueError(f"split={split!r} has no row in {path}, its splits are {sorted(splits)}")
    return _captioned_photographs(captions_of, path, images, missing)


def load_coco_captions(
    path: StrPath,
    images: StrPath | None = None,
    *,
    limit: int | None = None,
    missing: Literal["raise", "ignore"] = "raise",
) -> CaptionedPhotographs:
    """Read captions in the format of COCO, as in ``captions_val2014.json``.

    Parameters
    ----------
    path : str or path-like
        JSON file with the keys ``images`` (``id`` and ``file_name`` of each photograph) and
        ``annotations`` (``image_id`` and ``caption`` of each caption).
    images : str or path-like, default=None
        Folder of the photographs, to which ``file_name`` is relative. None takes the folder ``images``
        beside the file if there is one, and the folder of the file otherwise.
    limit : int, default=None
        Read only the first `limit` captioned photographs. None reads all.
    missing : {"raise", "ignore"}, default="raise"
        What to do if one of them does not exist: raise an error, or leave it out.

    Returns
    -------
    CaptionedPhotographs
        Photographs in the order of ``images``; those without a caption are left out.

    Raises
    ------
    FileNotFoundError
        If `path`, `images` or, with ``missing="raise"``, a captioned photograph does not exist.
    ValueError
        If the file is not JSON, has not these keys, or a caption belongs to no photograph of the file.

    References
    ----------
    X. Chen et al., "Microsoft COCO Captions: Data Collection and Evaluation Server", arXiv:1504.00325.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> from txt2img.datasets import load_coco_captions
    >>> content = {
    ...     "images": [{"id": 7, "file_name": "cat.jpg"}],
    ...     "annotations": [{"image_id": 7, "caption": "a cat"}, {"image_id": 7, "caption": "a pet"}],
    ... }
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "cat.jpg").write_bytes(b"")
    ...     _ = pathlib.Path(folder, "captions.json").write_text(json.dumps(content))
    ...     load_coco_captions(pathlib.Path(folder, "captions.json")).captions
    [['a cat', 'a pet']]
    """
    if limit is not None:
        check_scalar(limit, "limit", Integral, min_val=1)
    captions_of = dict(list(read_coco_captions(path).items())[:limit])
    return _captioned_photographs(captions_of, path, images, missing)


def read_coco_captions(path: StrPath) -> dict[str, list[str]]:
    """Read from a file as COCO has it the captions of each photograph, by its name, that has any."""
    name_of, annotations = _read_coco(path)
    captions_of: dict[str, list[str]] = {name: [] for name in name_of.values()}
    for image_id, caption in annotations:
        if caption:
            captions_of[name_of[image_id]].append(caption)
    return {name: captions for name, captions in captions_of.items() if captions}


def load_flickr_tokens(
    path: StrPath, images: StrPath | None = None, *, missing: Literal["raise", "ignore"] = "raise"
) -> CaptionedPhotographs:
    r"""Read captions in the format of Flickr8k and Flickr30k: ``name.jpg#0<TAB>caption`` in each line.

    Parameters
    ----------
    path : str or path-like
        File in UTF-8, as ``Flickr8k.token.txt`` or ``results_20130124.token``.
    images : str or path-like, default=None
        Folder of the photographs. None takes the folder ``images`` beside the file if there is one, and
        the folder of the file otherwise.
    missing : {"raise", "ignore"}, default="raise"
        What to do if a captioned photograph does not exist: raise an error, or leave it out.

    Returns
    -------
    CaptionedPhotographs
        Photographs and captions in the order in which they first appear in the file.

    Raises
    ------
    FileNotFoundError
        If `path`, `images` or, with ``missing="raise"``, a captioned photograph does not exist.
    ValueError
        If a line is not of this form.

    References
    ----------
    M. Hodosh, P. Young, J. Hockenmaier, "Framing Image Description as a Ranking Task", JAIR 47 (2013).

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from txt2img.datasets import load_flickr_tokens
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "cat.jpg").write_bytes(b"")
    ...     tokens = pathlib.Path(folder, "captions.token")
    ...     _ = tokens.write_text("cat.jpg#0\ta cat\ncat.jpg#1\ta pet\n", encoding="utf-8")
    ...     load_flickr_tokens(tokens).captions
    [['a cat', 'a pet']]
    """
    captions_of: dict[str, list[str]] = {}
    for line_number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        match = _FLICKR_LINE.match(line)
        if match is None:
            raise ValueError(
                f"{path}, line {line_number}: expected 'name.jpg#0<TAB>caption' but found {line[:80]!r}"
            )
        if caption := match["caption"].strip():
            captions_of.setdefault(match["image"].strip(), []).append(caption)
    return _captioned_photographs(captions_of, path, images, missing)


def load_sidecar_captions(folder: StrPath) -> CaptionedPhotographs:
    r"""Read the photographs of a folder that have a text file of the same name beside them.

    ``holiday/beach.jpg`` is described by ``holiday/beach.txt``, one caption a line. Sub-folders are read
    too. Photographs without a text file, or with an empty one, are left out.

    Parameters
    ----------
    folder : str or path-like
        Folder of photographs and text files (UTF-8).

    Returns
    -------
    CaptionedPhotographs
        Sorted by path.

    Raises
    ------
    FileNotFoundError
        If `folder` does not exist.
    ValueError
        If no photograph has a text file with a caption.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from txt2img.datasets import load_sidecar_captions
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "cat.jpg").write_bytes(b"")
    ...     _ = pathlib.Path(folder, "cat.txt").write_text("a cat\na pet\n", encoding="utf-8")
    ...     load_sidecar_captions(folder).captions
    [['a cat', 'a pet']]
    """
    folder = _existing_folder(folder, "folder")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    text_of = {path.with_suffix(""): path for path in files if path.suffix.lower() == ".txt"}
    captions_of = {}
    for photo in files:
        text = text_of.get(photo.with_suffix(""))
        if text is not None and photo.suffix.lower() in _PHOTO_SUFFIXES:
            captions = [line.strip() for line in _lines(text) if line.strip()]
            if captions:
                captions_of[str(photo)] = captions
    if not captions_of:
        raise ValueError(
            f"folder={str(folder)!r} has no captioned photograph: put the captions of beach.jpg into "
            "beach.txt beside it, one a line"
        )
    return CaptionedPhotographs(list(captions_of), list(captions_of.values()))


def _lines(path: StrPath) -> Iterator[str]:
    """Lines of a text file, line ends included: only these, not every separator known to Unicode, end one."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"path={str(path)!r} is not a file: pass the file of captions")
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            yield from file
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not UTF-8 text ({error}): save it as UTF-8") from error


def _table_rows(path: StrPath, sep: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(
        _lines(path),
        delimiter=sep,
        quoting=csv.QUOTE_NONE if sep == "\t" else csv.QUOTE_MINIMAL,
        strict=True,
    )
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: not a table with sep={sep!r}: {error}") from error


def _read_coco(path: StrPath) -> tuple[dict[Any, str], list[tuple[Any, str]]]:
    """Give the name of the photograph of every id, and the pairs of id and caption."""
    text = "".join(_lines(path))
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    try:
        name_of = {image["id"]: os.fspath(image["file_name"]) for image in data["images"]}
        annotations = [(note["image_id"], note["caption"].strip()) for note in data["annotations"]]
        stray = [image_id for image_id, _ in annotations if image_id not in name_of]
    except (AttributeError, KeyError, TypeError) as error:
        found = sorted(data) if isinstance(data, dict) else type(data).__name__
        raise ValueError(
            f"{path} is not in the format of COCO captions (images with id and file_name, annotations with "
            f"image_id and caption): {error!r}; it holds {found}"
        ) from error
    if stray:
        raise ValueError(f"{path}: a caption has image_id={stray[0]!r}, which is not among its images")
    return name_of, annotations


def _captioned_photographs(
    captions_of: dict[str, list[str]],
    path: StrPath,
    images: StrPath | None,
    missing: Literal["raise", "ignore"],
) -> CaptionedPhotographs:
    """Find the photographs, given the captions of each name."""
    if missing not in ("raise", "ignore"):
        raise ValueError(f"missing={missing!r} is unknown: pass 'raise' or 'ignore'")
    if not captions_of:
        raise ValueError(f"{path} holds no caption")
    folder = _images_folder(path, images)
    absent = [name for name in captions_of if not os.path.isfile(folder / name)]
    if absent and (missing == "raise" or len(absent) == len(captions_of)):
        shown = ", ".join(absent[:3]) + (", ..." if len(absent) > 3 else "")
        raise FileNotFoundError(
            f"{len(absent)} of {len(captions_of)} captioned photographs are not in {folder}: {shown}. "
            "Pass images, the folder that holds them, or missing='ignore' to leave out some"
        )
    left_out = set(absent)
    found = {str(folder / name): captions for name, captions in captions_of.items() if name not in left_out}
    return CaptionedPhotographs(list(found), list(found.values()))


def _images_folder(path: StrPath, images: StrPath | None) -> Path:
    if images is not None:
        return _existing_folder(images, "images")
    beside = Path(path).parent / "images"
    return beside if beside.is_dir() else beside.parent


def _existing_folder(folder: StrPath, argument: str) -> Path:
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{argument}={str(folder)!r} is not a folder: pass the folder of the photographs"
        )
    return folder
