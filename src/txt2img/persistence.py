"""Saving and loading of fitted estimators without pickle.

A saved estimator is a folder: ``manifest.json`` holds the classes, parameters and plain values, for every
array the name, type, shape and SHA-256 sum of a ``.npy`` file beside it, named after that sum, and a sum of
itself. Arrays are written first, and the manifest is put in place last, in one step; a process that dies on
the way leaves what was there before, and one that reads meanwhile gets the old state or the new. One process
writes at a time. Loading builds only classes of a closed list and reads arrays with pickle forbidden. Large
arrays are not read but mapped into memory, so that loading takes no longer the more photographs there are.
"""

import hashlib
import importlib.metadata
import json
import os
import re
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePath
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.kernel_ridge import KernelRidge
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.utils.validation import check_is_fitted

from txt2img._files import (
    LOCK,
    as_array,
    check_regular,
    digest_of_array,
    digest_of_file,
    is_number,
    only_writer,
    read_regular,
    sync_names,
    write_array,
    write_whole,
)
from txt2img._types import Array, StrPath
from txt2img.exceptions import SavedFileError

FORMAT_VERSION = 1
_SCIKIT_LEARN = (FeatureUnion, KernelRidge, Normalizer, Pipeline, StandardScaler)
MANIFEST = "manifest.json"
_OWN_FILE = re.compile(r"[0-9a-f]{64}\.npy(\.[0-9a-f]{8}\.part)?|manifest\.json\.([0-9a-f]{8}\.part|lock)")
# Larger files of arrays are mapped.
MAPPED_BYTES = 2**24
_DTYPES = {"float32": np.float32, "float64": np.float64}


def save(estimator: Any, path: StrPath) -> None:
    """Save a fitted estimator to a folder.

    Parameters
    ----------
    estimator : estimator
        An estimator of txt2img, or a scikit-learn ``Pipeline`` or ``FeatureUnion`` of such;
        scikit-learn's ``KernelRidge``, ``Normalizer`` and ``StandardScaler`` may be among them.
    path : str or path-like
        The folder. It is made if it does not exist; what was saved there before is replaced.

    Raises
    ------
    TypeError
        If a part cannot be saved, such as a torch module or a function as backbone. The message names it.
    FileExistsError
        If the folder exists and holds files, but no saved estimator.
    SavedFileError
        If another process or thread is saving to the folder.
    OSError
        If the disk is full, or the folder cannot be written to; what was saved there before is whole.

    Examples
    --------
    >>> import tempfile
    >>> from txt2img import ImageIndex
    >>> from txt2img.persistence import load, save
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(ImageIndex().fit([[1, 0], [0, 1]], ids=["cat", "dog"]), folder)
    ...     load(folder).predict([[0, 2]]).tolist()
    ['dog']
    """
    folder = Path(path)
    writer = _Writer()
    tree = writer.encode(estimator, "estimator")
    if folder.exists() and not _holds_manifest(folder):
        foreign = [file.name for file in folder.iterdir() if not _OWN_FILE.fullmatch(file.name)]
        if foreign:
            raise FileExistsError(
                f"path={os.fspath(path)!r} holds {foreign[0]!r} but no saved estimator: "
                "pass a new or empty folder"
            )
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {
        "format": "txt2img",
        "format_version": FORMAT_VERSION,
        "written_by": {
            name: importlib.metadata.version(name) for name in ("txt2img", "scikit-learn", "numpy")
        },
        "estimator": tree,
        "arrays": {
            digest: {"dtype": str(array.dtype), "shape": list(array.shape)}
            for digest, array in writer.arrays.items()
        },
    }
    manifest["sha256"] = _sum_of_manifest(manifest)
    content = json.dumps(manifest, ensure_ascii=True, indent=1).encode("ascii")
    with only_writer(folder):
        for digest, array in writer.arrays.items():
            file = folder / f"{digest}.npy"
            if not file.exists() or digest_of_file(file) != digest:
                write_whole(file, partial(write_array, array))
        sync_names(folder)
        write_whole(folder / MANIFEST, lambda stream: stream.write(content))
        sync_names(folder)
        kept = {LOCK, *(f"{digest}.npy" for digest in writer.arrays)}
        for file in folder.iterdir():
            if _OWN_FILE.fullmatch(file.name) and file.name not in kept:
                with suppress(OSError):  # what still lies there is cleared away next time
                    file.unlink()


def load(path: StrPath, *, verify: bool = False) -> Any:
    """Load an estimator saved by :func:`save`.

    Parameters
    ----------
    path : str or path-like
        The folder.
    verify : bool, default=False
        Whether to read the files of more than 16 MiB too and compare them with their SHA-256 sums. Without
        it, such a file is mapped into memory, and only its head and its size are checked. Smaller files are
        always read and compared.

    Returns
    -------
    estimator
        It predicts as the saved one did, bit for bit.

    Raises
    ------
    SavedFileError
        If the folder holds no saved estimator, a damaged one, or one of a newer format.

    Examples
    --------
    >>> import tempfile
    >>> from txt2img import ImageIndex
    >>> from txt2img.persistence import load, save
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(ImageIndex("euclidean").fit([[1, 0], [0, 1]]), folder)
    ...     load(folder)
    ImageIndex(metric='euclidean')
    """
    folder, content = Path(path), _read_manifest(path)
    while True:
        try:
            return _load(folder, content, verify)
        except SavedFileError:
            # Files may be missing because a new state was saved meanwhile.
            before, content = content, _read_manifest(path)
            if content == before:
                raise


class SaveMixin:
    """Methods `save` and `load` of an estimator."""

    def save(self, path: StrPath) -> None:
        """Save the fitted estimator to a folder, without pickle.

        Parameters
        ----------
        path : str or path-like
            The folder; what was saved there before is replaced in one step.

        See Also
        --------
        txt2img.persistence : What is saved, and in which form.
        """
        check_is_fitted(self)
        save(self, path)

    @classmethod
    def load(cls, path: StrPath, *, verify: bool = False) -> Self:
        """Load what `save` saved.

        Parameters
        ----------
        path : str or path-like
            The folder.
        verify : bool, default=False
            Whether to compare files of more than 16 MiB with their SHA-256 sums too, which reads them
            all. Without it they are mapped into memory, and read when they are needed.

        Returns
        -------
        estimator
            It answers as the saved one did, bit for bit.

        Raises
        ------
        SavedFileError
            If the folder holds nothing of the kind, or something damaged or of a newer format.
        """
        estimator = load(path, verify=verify)
        if not isinstance(estimator, cls):
            raise SavedFileError(
                f"path={os.fspath(path)!r} holds a {type(estimator).__name__}, not a {cls.__name__}"
            )
        return estimator


def _read_manifest(path: StrPath) -> bytes:
    try:
        return read_regular(Path(path) / MANIFEST)
    except (FileNotFoundError, NotADirectoryError):
        raise SavedFileError(
            f"path={os.fspath(path)!r} holds no {MANIFEST}: nothing was saved there"
        ) from None


def _load(folder: Path, content: bytes, verify: bool) -> Any:
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SavedFileError(f"{folder / MANIFEST} is damaged: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != "txt2img":
        raise SavedFileError(f"{folder / MANIFEST} is not a manifest of txt2img")
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise SavedFileError(
            f"{folder} has the format version {version!r} and this txt2img reads {FORMAT_VERSION}: "
            "load it with the version of txt2img that wrote it, or a newer one"
        )
    if manifest.pop("sha256", None) != _sum_of_manifest(manifest):
        raise SavedFileError(f"{folder / MANIFEST} is damaged: its SHA-256 sum is not the one in it")
    try:
        return _Reader(folder, manifest["arrays"], verify).decode(manifest["estimator"])
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError) as error:
        if isinstance(error, SavedFileError):
            raise
        raise SavedFileError(f"{folder / MANIFEST} is damaged: {error!r}") from error


class _Writer:
    """Turns estimators and values into JSON, with the arrays set aside under their sums."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}

    def encode(self, value: Any, name: str) -> Any:
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, np.generic):
            return self.encode(value.item(), name)
        if isinstance(value, PurePath):
            return {"path": str(value)}
        if isinstance(value, np.ndarray):
            return self._encode_array(value, name)
        if isinstance(value, tuple):
            return {"tuple": self.encode(list(value), name)}
        if isinstance(value, list):
            return [self.encode(item, f"{name}[{i}]") for i, item in enumerate(value)]
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return {"dict": {key: self.encode(item, f"{name}[{key!r}]") for key, item in value.items()}}
        if value in _DTYPES.values():
            return {"dtype": np.dtype(value).name}
        if type(value) in _known_classes().values():
            return self._encode_estimator(value, name)
        raise TypeError(
            f"{name} is a {type(value).__name__}, which cannot be saved: only estimators of txt2img, "
            "pipelines and unions of them, numbers, strings and arrays can"
        )

    def _encode_estimator(self, estimator: Any, name: str) -> dict[str, Any]:
        parameters = {
            key: os.fspath(value) if isinstance(value, os.PathLike) else value
            for key, value in estimator.get_params(deep=False).items()
        }
        if hasattr(estimator, "_saved_state"):
            fitted = estimator._saved_state()
        else:
            fitted = {key: value for key, value in vars(estimator).items() if key.endswith("_")}
        return {
            "class": type(estimator).__name__,
            "parameters": {key: self.encode(value, f"{name}.{key}") for key, value in parameters.items()},
            "fitted": {key: self.encode(value, f"{name}.{key}") for key, value in fitted.items()},
        }

    def _encode_array(self, array: Array, name: str) -> dict[str, Any]:
        if array.dtype == object:
            return {"objects": self.encode(array.tolist(), name)}
        digest = digest_of_array(array)
        self.arrays[digest] = array
        return {"array": digest}


class _Reader:
    """Builds estimators and values from JSON and the arrays beside it."""

    def __init__(self, folder: Path, arrays: dict[str, Any], verify: bool) -> None:
        self.folder = folder
        self.arrays = arrays
        self.verify = verify
        self.read: set[str] = set()

    def decode(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "class" in value:
            return self._decode_estimator(value)
        ((kind, content),) = value.items()
        if kind == "tuple":
            return tuple(self.decode(content))
        if kind == "dict":
            return {key: self.decode(item) for key, item in content.items()}
        if kind == "dtype":
            return _DTYPES[content]
        if kind == "path":
            return Path(content)
        if kind == "objects":
            items = self.decode(content)
            array = np.empty(len(items), dtype=object)
            array[:] = items
            return array
        if kind == "array":
            return self._decode_array(content)
        raise SavedFileError(
            f"{self.folder / MANIFEST} is damaged: it holds a value of unknown kind {kind!r}"
        )

    def _decode_estimator(self, value: dict[str, Any]) -> Any:
        classes = _known_classes()
        if value["class"] not in classes:
            raise SavedFileError(
                f"{self.folder / MANIFEST} asks for the class {value['class']!r}, which is not allowed"
            )
        parameters = {key: self.decode(item) for key, item in value["parameters"].items()}
        estimator = classes[value["class"]](**parameters)
        for key in value["fitted"]:
            if not key.endswith("_") or key.startswith("_"):
                raise SavedFileError(
                    f"{self.folder / MANIFEST} sets the attribute {key!r}, which is not allowed"
                )
        state = {key: self.decode(item) for key, item in value["fitted"].items()}
        if state:
            self._check_finite(state, estimator)
        if state and hasattr(estimator, "_restore_state"):
            estimator._restore_state(state)
        else:
            vars(estimator).update(state)
        return estimator

    def _decode_array(self, digest: object) -> Array:
        if (
            not isinstance(digest, str)
            or digest not in self.arrays
            or not re.fullmatch("[0-9a-f]{64}", digest)
        ):
            raise SavedFileError(
                f"{self.folder / MANIFEST} is damaged: it does not list the array {digest!r}"
            )
        file = self.folder / f"{digest}.npy"
        try:
            # One that is asked for again and again must not fill the memory.
            if digest in self.read or file.stat().st_size > MAPPED_BYTES:
                array = self._map(file, digest)
            else:
                array = self._read_array(file, digest)
        except FileNotFoundError:
            raise SavedFileError(f"{file} is missing") from None
        if self.arrays[digest] != {"dtype": str(array.dtype), "shape": list(array.shape)}:
            raise SavedFileError(f"{file} has another type or shape than {MANIFEST} says")
        self.read.add(digest)
        return array

    def _read_array(self, file: Path, digest: str) -> Array:
        content = read_regular(file)
        if hashlib.sha256(content).hexdigest() != digest:
            raise SavedFileError(f"{file} is damaged: its SHA-256 sum is not what its name says")
        try:
            return as_array(content)
        except (ValueError, OverflowError) as error:
            raise SavedFileError(f"{file} is not an array of numbers: {error}") from error

    def _map(self, file: Path, digest: str) -> Array:
        """Map a file into memory; what is changed there is not written to it."""
        check_regular(file)
        try:
            array = np.lib.format.open_memmap(file, mode="c")
        except FileNotFoundError:
            raise
        except (ValueError, OverflowError, OSError) as error:
            raise SavedFileError(f"{file} is not an array of numbers, or cut off: {error}") from error
        if not is_number(array.dtype):
            raise SavedFileError(f"{file} is not an array of numbers: its type is {array.dtype}")
        if array.offset + array.nbytes != file.stat().st_size:
            raise SavedFileError(f"{file} is damaged: it is longer than its array")
        if self.verify and digest_of_file(file) != digest:
            raise SavedFileError(f"{file} is damaged: its SHA-256 sum is not what its name says")
        return array.view(np.ndarray)

    def _check_finite(self, value: Any, estimator: object) -> None:
        """Refuse NaN and infinities in what was learned; metadata of an index may hold them."""
        if isinstance(value, dict):
            value = [own for key, own in value.items() if key != "metadata_"]
        if isinstance(value, list | tuple):
            for own in value:
                self._check_finite(own, estimator)
        elif isinstance(value, np.ndarray) and value.dtype.kind in "fc":
            is_mapped = value.nbytes > MAPPED_BYTES
            if (self.verify or not is_mapped) and not np.isfinite(value).all():
                raise SavedFileError(
                    f"{self.folder} holds NaN or infinity in what {type(estimator).__name__} has learned"
                )


def _holds_manifest(folder: Path) -> bool:
    try:
        return json.loads((folder / MANIFEST).read_bytes())["format"] == "txt2img"
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False


def _known_classes() -> dict[str, type[Any]]:
    """Classes that may be saved and loaded, by name; everything else is refused."""
    import txt2img
    from txt2img.mapping import MapEnsemble, VisualMap
    from txt2img.search import ConfidenceCalibrator

    ours = (getattr(txt2img, name) for name in txt2img.__all__)
    estimators = [each for each in ours if isinstance(each, type) and issubclass(each, BaseEstimator)]
    return {
        each.__name__: each
        for each in [*estimators, ConfidenceCalibrator, MapEnsemble, VisualMap, *_SCIKIT_LEARN]
    }


def _sum_of_manifest(manifest: dict[str, Any]) -> str:
    """Compute the SHA-256 sum of a manifest without its sum, however its JSON is laid out."""
    content = json.dumps(manifest, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(content.encode("ascii")).hexdigest()
