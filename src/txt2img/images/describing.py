"""Photographs are decoded in threads while the network describes those before them."""

import math
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import joblib
import numpy as np
from sklearn.preprocessing import normalize

from txt2img.exceptions import UnreadablePhotographError
from txt2img.images.reading import decode_photograph

_BATCHES_AHEAD = 2


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

    rows: list
    descriptors: np.ndarray | None = field(repr=False)
    failures: list
    stop: int


def described_batches(backbone, photos, *, batch_size, device, max_pixels, normalized):
    """Describe photographs batch by batch, in order.

    A few batches are in memory at a time, however many photographs there are. What a caller has not asked
    for is not computed: a generator that is closed stops reading.

    Parameters
    ----------
    backbone : Backbone or CallableBackbone
        Prepares pictures in threads and describes them in the thread of the caller.
    photos : iterable of photographs
        As in `ImageFeaturizer`; may be a generator.
    batch_size, device, max_pixels
        As in `ImageFeaturizer`.
    normalized : bool
        Whether descriptors are brought to length 1, as in `ImageFeaturizer`.

    Yields
    ------
    DescribedBatch
        Every photograph is in one of them, described or failed.
    """
    for rows, pictures, failures, stop in _prepared_batches(backbone, photos, batch_size, max_pixels):
        descriptors = None
        if rows:
            descriptors = join_parts(describe_parts(backbone, pictures, device), normalized)
        yield DescribedBatch(rows, descriptors, failures, stop)


def describe_parts(backbone, pictures, device):
    """Describe prepared pictures, and check that each part has a row for each of them."""
    parts = backbone.describe(pictures, device)
    for found in parts:
        if found.ndim != 2 or len(found) != len(pictures):
            raise ValueError(
                f"backbone gave an array of shape {found.shape} for {len(pictures)} photographs: "
                f"it must give one row a photograph, shape ({len(pictures)}, n_features)"
            )
    return parts


def join_parts(parts, normalized):
    """Put the parts of descriptors side by side, each of the same length if they are normalized."""
    if normalized:
        parts = [normalize(part, copy=False) / math.sqrt(len(parts)) for part in parts]
    return np.hstack(parts)


def _prepared_batches(backbone, photos, batch_size, max_pixels):
    """Yield (rows, pictures, failures, stop) batch by batch, decoded in threads some batches ahead."""

    def prepare(photograph):
        return backbone.prepare(decode_photograph(photograph, max_pixels=max_pixels))

    numbered = enumerate(photos)
    size = max(1, batch_size // backbone.n_views)
    ahead = deque()
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        try:
            while batch := [(row, pool.submit(prepare, photo)) for row, photo in islice(numbered, size)]:
                ahead.append(batch)
                if len(ahead) > _BATCHES_AHEAD:
                    yield _finished(ahead.popleft())
            while ahead:
                yield _finished(ahead.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _finished(batch):
    rows, pictures, failures = [], [], []
    for row, future in batch:
        try:
            pictures.append(future.result())
            rows.append(row)
        except UnreadablePhotographError as error:
            failures.append((row, error))
    return rows, pictures, failures, batch[-1][0] + 1
