"""DescriptorStore: what was computed of a photograph is kept, and found again by the photograph's content."""

import json
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np

from txt2img._types import Array, StrPath
from txt2img.exceptions import SavedFileError

Settings: TypeAlias = tuple[int, int]  # id and CRC-32 of a description

FILE = "descriptors.sqlite"
FORMAT_VERSION = 1
_APPLICATION = 0x74786932  # "txi2": tells the file from other databases
_SECONDS_TO_WAIT = 60  # for another process that is writing
_SETTLED = 2 * 10**9  # a file changed less than so many nanoseconds ago may change again unnoticed
_ROWS_AT_ONCE = 500
_TABLES = (
    "CREATE TABLE IF NOT EXISTS settings (id INTEGER PRIMARY KEY, description TEXT NOT NULL UNIQUE)",
    """CREATE TABLE IF NOT EXISTS descriptors (
        settings INTEGER NOT NULL, photograph BLOB NOT NULL, descriptor BLOB NOT NULL,
        checksum INTEGER NOT NULL, written REAL NOT NULL, PRIMARY KEY (settings, photograph))""",
    """CREATE TABLE IF NOT EXISTS files (
        path BLOB NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
        photograph BLOB NOT NULL, PRIMARY KEY (path, photograph)) WITHOUT ROWID""",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {FORMAT_VERSION}",
)


class DescriptorStore:
    """Descriptors on disk, by the content of the photographs and by how they were computed.

    ``ImageFeaturizer(cache=folder)`` reads and fills it; this class tells what is in it and prunes it. Every
    batch is one transaction: whatever kills a process or the machine, what was written before is there.
    Several processes of one machine may use the same store at once. The folder belongs on a disk of that
    machine, as locks of network file systems cannot be trusted.

    Parameters
    ----------
    folder : str or path-like
        It is made if it does not exist.

    Raises
    ------
    SavedFileError
        If the folder holds a damaged store, a file of another program in its place, or a store of a newer
        format.

    Notes
    -----
    The folder holds an SQLite database, ``descriptors.sqlite``, with three tables:

    ``settings``
        ``id``, and as JSON the ``description`` of all that makes a descriptor what it is: backbone, sum of
        its weights, preprocessing, layers, pooling, length, precision.
    ``descriptors``
        ``settings``, the id of these; ``photograph``, the SHA-256 sum of the content of the file (for
        pictures in memory, of their size and RGB pixels); ``descriptor``, float32 numbers, little-endian;
        ``checksum``, the CRC-32 of description, photograph and descriptor one after another; ``written``,
        in seconds since 1970.
    ``files``
        What need not be read again: absolute ``path``, ``size`` in bytes, times of the last change of the
        content (``mtime_ns``) and of the file (``ctime_ns``), and its ``photograph``; of a file that has
        changed, also what it was.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from txt2img import ImageFeaturizer
    >>> from txt2img.images import DescriptorStore
    >>> photographs = [np.full((48, 64), grey, dtype=np.uint8) for grey in (0, 100, 200)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     D = ImageFeaturizer("efficientnet_lite0", cache=folder).fit_transform(photographs)
    ...     with DescriptorStore(folder) as store:
    ...         print(len(store), store.prune(backbone="efficientnet_lite0"), len(store))
    3 3 0
    """

    def __init__(self, folder: StrPath) -> None:
        self.file = Path(folder, FILE)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._seen: list[tuple[bytes, int, int, int, bytes]] = []
        with self._clear_errors():
            self._database = sqlite3.connect(
                self.file, _SECONDS_TO_WAIT, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._database.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Count the descriptors, of all settings."""
        return self._query("SELECT count(*) FROM descriptors")[0][0]

    @property
    def n_bytes(self) -> int:
        """Size on disk in bytes."""
        return sum(file.stat().st_size for file in self.file.parent.glob(FILE + "*"))

    def counts(self) -> list[tuple[dict[str, Any], int]]:
        """Tell what the descriptors were computed with.

        Returns
        -------
        list of (dict, int)
            Settings, and the number of descriptors that were computed with them.
        """
        rows = self._query(
            "SELECT description, count(*) FROM descriptors JOIN settings ON settings.id = settings "
            "GROUP BY settings.id ORDER BY settings.id"
        )
        return [(self._read_settings(description), count) for description, count in rows]

    def prune(
        self, *, backbone: str | None = None, older_than: float | None = None, missing: bool = False
    ) -> int:
        """Delete the descriptors to which all that is given applies, and give their room back.

        Parameters
        ----------
        backbone : str, default=None
            Computed with this backbone, as `counts` names it.
        older_than : float, default=None
            Computed more than so many days ago.
        missing : bool, default=False
            Whose photograph was a file and is none now: all files that held it are gone, or hold another.
            Mount first what photographs lie on.

        Returns
        -------
        int
            Number of descriptors deleted.

        Raises
        ------
        ValueError
            If nothing is given.
        """
        if backbone is None and older_than is None and not missing:
            raise ValueError("prune deletes nothing unless told what: pass backbone, older_than or missing")
        conditions, values = ["1"], []
        if backbone is not None:
            ids = [
                number
                for number, description in self._query("SELECT id, description FROM settings")
                if self._read_settings(description).get("backbone") == backbone
            ]
            conditions.append(f"settings IN ({','.join(map(str, ids))})")
        if older_than is not None:
            conditions.append("written < ?")
            values.append(time.time() - older_than * 86_400)
        with self._writing() as write:
            if missing:
                paths = write("SELECT DISTINCT path FROM files WHERE typeof(path) = 'blob'").fetchall()
                gone = [(path,) for (path,) in paths if not os.path.exists(os.fsdecode(path))]
                write("CREATE TEMP TABLE was AS SELECT DISTINCT photograph FROM files")
                self._database.executemany("DELETE FROM files WHERE path = ?", gone)
                write(
                    "DELETE FROM files WHERE EXISTS (SELECT 1 FROM files AS later "
                    "WHERE later.path = files.path AND later.ctime_ns > files.ctime_ns)"
                )
                conditions.append("photograph IN was AND photograph NOT IN (SELECT photograph FROM files)")
            n_deleted = write(f"DELETE FROM descriptors WHERE {' AND '.join(conditions)}", values).rowcount
            write("DELETE FROM settings WHERE id NOT IN (SELECT settings FROM descriptors)")
            write("DROP TABLE IF EXISTS temp.was")
        with self._lock, self._clear_errors():
            self._database.execute("VACUUM")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return n_deleted

    def close(self) -> None:
        """Write down which files were seen, and close the database."""
        try:
            self._write_seen()
        finally:
            self._database.close()

    def open_settings(self, description: dict[str, Any]) -> Settings:
        """Take note of a way to compute descriptors.

        Parameters
        ----------
        description : dict
            Plain values: all that makes a descriptor what it is.

        Returns
        -------
        tuple
            The settings, as the other methods want them.
        """
        text = json.dumps(description, sort_keys=True)
        with self._writing() as write:
            write("INSERT OR IGNORE INTO settings (description) VALUES (?)", (text,))
            ((number,),) = write("SELECT id FROM settings WHERE description = ?", (text,)).fetchall()
        return number, zlib.crc32(text.encode())

    def holds(self, settings: Settings, photograph: bytes) -> bool:
        """Say whether there is a descriptor of a photograph.

        Parameters
        ----------
        settings : tuple
            From `open_settings`.
        photograph : bytes
            SHA-256 sum of its content.

        Returns
        -------
        bool
            Whether `load` will find it, if it is not damaged.
        """
        sql = "SELECT 1 FROM descriptors WHERE settings = ? AND photograph = ?"
        return bool(self._query(sql, (settings[0], photograph)))

    def load(self, settings: Settings, photographs: Iterable[bytes]) -> dict[bytes, Array]:
        """Return descriptors; those that are damaged are deleted.

        Parameters
        ----------
        settings : tuple
            From `open_settings`.
        photographs : list of bytes
            SHA-256 sums of their contents.

        Returns
        -------
        dict of bytes to ndarray of shape (n_features,), dtype float32
            Descriptors, by photograph, of those that are there.
        """
        found, damaged = {}, []
        photographs = iter(dict.fromkeys(photographs))
        while some := list(islice(photographs, _ROWS_AT_ONCE)):
            sql = (
                "SELECT photograph, descriptor, checksum FROM descriptors "
                f"WHERE settings = ? AND photograph IN ({','.join('?' * len(some))})"
            )
            for photograph, descriptor, checksum in self._query(sql, (settings[0], *some)):
                is_blob = isinstance(descriptor, bytes)
                if is_blob and checksum == _checksum(settings, photograph, descriptor):
                    found[photograph] = np.frombuffer(descriptor, "<f4")
                else:
                    damaged.append((settings[0], photograph))
        if damaged:
            with self._writing():
                self._database.executemany(
                    "DELETE FROM descriptors WHERE settings = ? AND photograph = ?", damaged
                )
        return found

    def add(self, settings: Settings, descriptors: Mapping[bytes, Array]) -> None:
        """Keep descriptors: when this returns, all of them are on the disk.

        Parameters
        ----------
        settings : tuple
            From `open_settings`.
        descriptors : dict of bytes to ndarray of shape (n_features,), dtype float32
            By photograph, the SHA-256 sum of its content.
        """
        now = time.time()
        contents = {
            photograph: np.asarray(descriptor, "<f4").tobytes()
            for photograph, descriptor in descriptors.items()
        }
        rows = [
            (settings[0], photograph, content, _checksum(settings, photograph, content), now)
            for photograph, content in contents.items()
        ]
        with self._writing():
            self._database.executemany("INSERT OR REPLACE INTO descriptors VALUES (?, ?, ?, ?, ?)", rows)
        self._write_seen()

    def photograph_of(self, path: StrPath, status: os.stat_result) -> bytes | None:
        """Return the sum of the content of a file without reading it.

        Parameters
        ----------
        path : str or path-like
            The file.
        status : os.stat_result
            How it is now.

        Returns
        -------
        bytes or None
            SHA-256 sum; None if the file was never seen or has changed since.
        """
        sql = "SELECT photograph FROM files WHERE path = ? AND size = ? AND mtime_ns = ? AND ctime_ns = ?"
        rows = self._query(sql, _as_row(path, status))
        return rows[0][0] if rows else None

    def see(self, path: StrPath, status: os.stat_result, photograph: bytes) -> None:
        """Remember the sum of the content of a file.

        Nothing is remembered of a file that was changed a moment ago, for it could change again with
        neither its size nor its times telling.

        Parameters
        ----------
        path : str or path-like
            The file.
        status : os.stat_result
            How it was before it was read.
        photograph : bytes
            SHA-256 sum of its content.
        """
        if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < _SETTLED:
            return
        with self._lock:
            self._seen.append((*_as_row(path, status), photograph))
        if len(self._seen) >= _ROWS_AT_ONCE:
            self._write_seen()

    def _prepare(self) -> None:
        execute = self._database.execute
        execute("BEGIN")  # another process may be making the tables: all or none of them are seen
        (application,) = execute("PRAGMA application_id").fetchone()
        (version,) = execute("PRAGMA user_version").fetchone()
        (n_tables,) = execute("SELECT count(*) FROM sqlite_master").fetchone()
        execute("COMMIT")
        if n_tables and application != _APPLICATION:
            raise SavedFileError(f"{self.file} is a database of another program: choose another folder")
        if version > FORMAT_VERSION:
            raise SavedFileError(
                f"{self.file} has the format version {version} and this txt2img reads {FORMAT_VERSION}: "
                "use the version of txt2img that wrote it, or a newer one"
            )
        if not n_tables:
            with self._writing() as write:
                for statement in _TABLES:
                    write(statement)
        self._let_readers_pass()
        execute("PRAGMA synchronous = FULL")  # a commit is on the disk when it returns

    def _let_readers_pass(self) -> None:
        """Write ahead of the tables, so that readers do not wait for a writer."""
        last_try = time.monotonic() + _SECONDS_TO_WAIT
        while True:
            try:
                self._database.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                # Two that change the mode of a new file at the same time: SQLite does not wait by itself.
                kind = error.sqlite_errorcode & 0xFF
                if kind != sqlite3.SQLITE_BUSY or time.monotonic() > last_try:
                    raise
                time.sleep(0.01)

    def _read_settings(self, description: str) -> dict[str, Any]:
        try:
            return dict(json.loads(description))
        except (TypeError, ValueError, RecursionError) as error:
            raise SavedFileError(
                f"the descriptor store {self.file} is damaged: it holds the settings {description!r}. Move "
                "it away, and photographs are described anew"
            ) from error

    def _write_seen(self) -> None:
        with self._lock:
            seen, self._seen = self._seen, []
        if seen:
            with self._writing():
                self._database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", seen)

    def _query(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        with self._lock, self._clear_errors():
            return self._database.execute(sql, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """Make what is executed inside one transaction, of which all is kept or nothing."""
        with self._lock, self._clear_errors():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database.execute
                self._database.execute("COMMIT")
            except BaseException:
                self._database.rollback()
                raise

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise SavedFileError(
                f"the descriptor store {self.file} cannot be used: {error}. If the disk is neither full nor "
                "read-only and no other process holds the file, it is damaged: move it away, and photographs "
                "are described anew"
            ) from error


def _as_row(path: StrPath, status: os.stat_result) -> tuple[bytes, int, int, int]:
    return os.fsencode(os.path.abspath(path)), status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _checksum(settings: Settings, photograph: bytes, descriptor: bytes) -> int:
    return zlib.crc32(descriptor, zlib.crc32(photograph, settings[1]))
