"""Photographs are decoded and described batch by batch, at the speed of the machine."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, TypeAlias

import joblib
import numpy as np
from sklearn.preprocessing import normalize

from txt2img._types import Array, Photograph
from txt2img.exceptions import UnreadablePhotographError
from txt2img.images.backbone import Backbone, CallableBackbone
from txt2img.images.reading import KnownPhotograph, decode_photograph

_BATCHES_AHEAD = 2
_Failures: TypeAlias = list[tuple[int, UnreadablePhotographError]]
_WorkedBatch: TypeAlias = tuple[list[int], list[Any], _Failures, int]


@dataclass(frozen=True)
class DescribedBatch:
    """What became of some photographs that follow one another.

    Parameters
    ----------
    rows : list of int
        Where those that could be read stand among all photographs.
    descriptors : ndarray of shape (len(rows), n_features), dtype float32, or None
        One for each of `rows`; None if there is none.
    failures : list of (int, UnreadablePhotographError)
        Where those that could not be read stand, and the reason.
    stop : int
        Number of photographs that have been gone through, this batch included.
    """

    rows: list[int]
    descriptors: Array | None = field(repr=False)
    failures: _Failures
    stop: int


def described_batches(
    backbone: Backbone | CallableBackbone,
    photos: Iterable[Photograph | KnownPhotograph],
    *,
    batch_size: int,
    device: str,
    precision: str,
    max_pixels: int,
    normalized: bool,
) -> Iterator[DescribedBatch]:
    """Describe photographs batch by batch, in order.

    On the processor every core takes one photograph after another from its file to its descriptor, so that
    decoding and network share the cores as the work comes, no core waits for another, and a descriptor is
    the same to the last bit whatever the batch. Elsewhere photographs are decoded in threads while the
    device describes the batch before.

    A few batches are in memory at a time, however many photographs there are. What a caller has not asked
    for is not computed: a generator that is closed stops reading.

    Parameters
    ----------
    backbone : Backbone, OnnxBackbone or CallableBackbone
        Prepares and describes pictures.
    photos : iterable of photographs
        As in `ImageFeaturizer`; may be a generator.
    batch_size, device, precision, max_pixels
        As in `ImageFeaturizer`.
    normalized : bool
        Whether descriptors are brought to length 1, as in `ImageFeaturizer`.

    Yields
    ------
    DescribedBatch
        Every photograph is in one of them, described or failed.
    """
    describe = partial(describe_parts, backbone, device=device, precision=precision)
    is_alone = backbone.describes_alone(device)

    def work(photograph: Photograph | KnownPhotograph) -> Any:
        image = decode_photograph(photograph, max_pixels=max_pixels, min_side=backbone.min_side)
        picture = backbone.prepare(image)
        return describe([picture]) if is_alone else picture

    size = max(1, batch_size // backbone.n_views)
    for rows, found, failures, stop in _worked_batches(work, photos, size, is_alone):
        descriptors = None
        if rows:
            parts = [np.concatenate(part) for part in zip(*found)] if is_alone else describe(found)
            descriptors = join_parts(parts, normalized)
        yield DescribedBatch(rows, descriptors, failures, stop)


def describe_parts(
    backbone: Backbone | CallableBackbone, pictures: list[Any], device: str, precision: str = "auto"
) -> list[Array]:
    """Describe prepared pictures, and check that each part has a row for each of them."""
    parts = backbone.describe(pictures, device, precision)
    for found in parts:
        if found.ndim != 2 or len(found) != len(pictures):
            raise ValueError(
                f"backbone gave an array of shape {found.shape} for {len(pictures)} photographs: "
                f"it must give one row a photograph, shape ({len(pictures)}, n_features)"
            )
    return parts


def join_parts(parts: list[Array], normalized: bool) -> Array:
    """Put the parts of descriptors side by side, each of the same length if they are normalized."""
    if normalized:
        parts = [normalize(part, copy=False) / math.sqrt(len(parts)) for part in parts]
    return np.hstack(parts)


def _worked_batches(
    work: Callable[[Photograph | KnownPhotograph], Any],
    photos: Iterable[Photograph | KnownPhotograph],
    size: int,
    is_alone: bool,
) -> Iterator[_WorkedBatch]:
    """Yield (rows, results, failures, stop) batch by batch, worked on in threads some batches ahead."""
    numbered = enumerate(photos)
    ahead: deque[list[tuple[int, Future[Any]]]] = deque()
    with _threads(is_alone) as pool:
        try:
            while batch := [(row, pool.submit(work, photo)) for row, photo in islice(numbered, size)]:
                ahead.append(batch)
                if len(ahead) > _BATCHES_AHEAD:
                    yield _finished(ahead.popleft())
            while ahead:
                yield _finished(ahead.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _threads(is_alone: bool) -> Iterator[ThreadPoolExecutor]:
    """Give a thread for each core; those in which a network runs have one core each for it."""
    if not is_alone:
        with ThreadPoolExecutor(joblib.cpu_count()) as pool:
            yield pool
        return
    import torch

    n_threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(n_threads)  # it also sets what threads to come begin with


def _finished(batch: list[tuple[int, Future[Any]]]) -> _WorkedBatch:
    rows, found, failures = [], [], []
    for row, future in batch:
        try:
            found.append(future.result())
            rows.append(row)
        except UnreadablePhotographError as error:
            failures.append((row, error))
    return rows, found, failures, batch[-1][0] + 1
