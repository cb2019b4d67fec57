"""Photographs that are in the store are recalled from there; the others are described once, and kept."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import TypeAlias

import joblib
import numpy as np

from txt2img._types import Photograph
from txt2img.exceptions import UnreadablePhotographError
from txt2img.images.describing import DescribedBatch
from txt2img.images.reading import KnownPhotograph, decode_photograph, read_file
from txt2img.images.store import DescriptorStore, Settings

Describe: TypeAlias = Callable[[Iterable[KnownPhotograph]], Iterable[DescribedBatch]]

_ROUND = 4096  # photographs; the network waits for a moment at its end
_SUMS_AT_ONCE = 16


def recalled_batches(
    store: DescriptorStore,
    settings: Settings,
    photos: list[Photograph],
    describe: Describe,
    *,
    max_pixels: int,
) -> Iterator[DescribedBatch]:
    """Do what `described_batches` does, with a store; batches come in any order.

    What is in the store, or twice among the photographs, is not described again. Every batch is kept
    before it is yielded. Photographs that failed are not remembered: next time they are tried again.

    Parameters
    ----------
    store : DescriptorStore
        Where descriptors are looked up and kept.
    settings : tuple
        What `store` calls the way in which they are computed.
    photos : list of photographs
        As in `ImageFeaturizer`.
    describe : callable
        Takes an iterable of `KnownPhotograph` and gives `DescribedBatch` by `DescribedBatch`, in order.
    max_pixels : int
        As in `ImageFeaturizer`.

    Yields
    ------
    DescribedBatch
        Every photograph is in one of them, described or failed.
    """
    n_done = 0
    for start in range(0, len(photos), _ROUND):
        rows = list(range(start, min(start + _ROUND, len(photos))))
        while rows:
            lost = set(rows)
            for batch in _round(store, settings, photos, rows, describe, max_pixels):
                n_done += len(batch.rows) + len(batch.failures)
                lost -= {*batch.rows, *(row for row, _ in batch.failures)}
                yield replace(batch, stop=n_done)
            rows = sorted(lost)  # their descriptors were damaged, or another process has deleted them


def _round(
    store: DescriptorStore,
    settings: Settings,
    photos: list[Photograph],
    rows: list[int],
    describe: Describe,
    max_pixels: int,
) -> Iterator[DescribedBatch]:
    """Yield the batches of some rows, those that are described first, then those that are recalled."""
    asked: list[tuple[int, bytes | None]] = []  # (row, digest) of what is given to `describe`, in order
    alike: list[tuple[int, bytes]] = []  # (row, digest) of what is in the store, or will be
    # Of what is given to `describe`, by digest; None as long as it has not failed.
    errors: dict[bytes | None, UnreadablePhotographError | None] = {}

    def unknown() -> Generator[KnownPhotograph]:
        for row, known in zip(rows, _known_photographs(photos, rows, store, max_pixels)):
            digest = known.digest
            if digest is not None and (digest in errors or store.holds(settings, digest)):
                alike.append((row, digest))
            else:
                errors[digest] = None
                asked.append((row, digest))
                yield known

    with closing(unknown()) as photographs:
        for batch in describe(photographs):
            described = [asked[i] for i in batch.rows]
            failed = [(*asked[i], error) for i, error in batch.failures]
            errors.update({digest: error for _, digest, error in failed})
            pairs = zip(described, [] if batch.descriptors is None else batch.descriptors)
            store.add(settings, {digest: each for (_, digest), each in pairs if digest is not None})
            yield DescribedBatch(
                [row for row, _ in described],
                batch.descriptors,
                [(row, e) for row, _, e in failed],
                batch.stop,
            )
    failures = [(row, error) for row, digest in alike if (error := errors.get(digest))]
    found = store.load(settings, [digest for _, digest in alike])
    recalled = [(row, found[digest]) for row, digest in alike if digest in found]
    if recalled or failures:
        descriptors = np.stack([descriptor for _, descriptor in recalled]) if recalled else None
        yield DescribedBatch([row for row, _ in recalled], descriptors, failures, 0)


def _known_photographs(
    photos: list[Photograph], rows: list[int], store: DescriptorStore, max_pixels: int
) -> Iterator[KnownPhotograph]:
    """Yield the photographs of some rows with their sums, which are computed in threads somewhat ahead."""

    def known(some: list[int]) -> list[KnownPhotograph]:
        return [KnownPhotograph(photos[row], _sum_of(photos[row], store, max_pixels)) for row in some]

    n_threads = joblib.cpu_count()
    ahead: deque[Future[list[KnownPhotograph]]] = deque()
    with ThreadPoolExecutor(n_threads) as pool:
        try:
            for start in range(0, len(rows), _SUMS_AT_ONCE):
                ahead.append(pool.submit(known, rows[start : start + _SUMS_AT_ONCE]))
                if len(ahead) > 2 * n_threads:
                    yield from ahead.popleft().result()
            while ahead:
                yield from ahead.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _sum_of(photograph: Photograph, store: DescriptorStore, max_pixels: int) -> bytes | None:
    """Return the SHA-256 sum of a file's content or of a picture's pixels; None if it cannot be read."""
    try:
        if isinstance(photograph, bytes | bytearray | memoryview):
            return hashlib.sha256(photograph).digest()
        if not isinstance(photograph, str | os.PathLike):
            image = decode_photograph(photograph, max_pixels=max_pixels)
            return hashlib.sha256(b"%d x %d RGB" % image.size + image.tobytes()).digest()
        status = os.stat(photograph)
        digest = store.photograph_of(photograph, status)
        if digest is None:
            digest = hashlib.sha256(read_file(photograph, max_pixels=max_pixels)).digest()
            store.see(photograph, status, digest)
        return digest
    except (OSError, ValueError):  # whoever reads it next meets the reason
        return None
