"""The engine: every photograph is in one batch, in order, and few are in memory at a time."""

import numpy as np
import pytest
from conftest import mean_colour

from txt2img.images.backbone import CallableBackbone
from txt2img.images.describing import described_batches

OPTIONS = {"device": "cpu", "precision": "float32", "max_pixels": 10**6, "normalized": False}


def photographs(n, read=None):
    """Yield `n` photographs, number i of the shade i, and note in `read` how many were asked for."""
    for i in range(n):
        if read is not None:
            read.append(i)
        yield np.full((4, 4, 3), i, np.uint8)


@pytest.mark.parametrize("n", [1, 4, 9])
def test_every_photograph_is_in_one_batch_and_in_order(n):
    batches = list(described_batches(CallableBackbone(mean_colour), photographs(n), batch_size=4, **OPTIONS))
    assert [row for batch in batches for row in batch.rows] == list(range(n))
    assert [batch.stop for batch in batches] == [min(stop, n) for stop in range(4, n + 4, 4)]
    found = np.concatenate([batch.descriptors for batch in batches])
    np.testing.assert_array_equal(found[:, 0], range(n))


def test_failures_stand_where_they_belong():
    photos = [b"no photograph", *photographs(2), "gone.jpg", b"", *photographs(1)]
    first, second = described_batches(CallableBackbone(mean_colour), photos, batch_size=3, **OPTIONS)
    assert (first.rows, [row for row, _ in first.failures]) == ([1, 2], [0])
    assert (second.rows, [row for row, _ in second.failures]) == ([5], [3, 4])
    assert str(second.failures[0][1]) == "No such file or directory"
    (nothing,) = described_batches(CallableBackbone(mean_colour), [b"", b""], batch_size=3, **OPTIONS)
    assert (nothing.rows, nothing.descriptors, nothing.stop) == ([], None, 2)


def test_few_batches_are_in_memory_and_reading_stops_with_the_caller():
    read = []
    batches = described_batches(
        CallableBackbone(mean_colour), photographs(1000, read), batch_size=4, **OPTIONS
    )
    next(batches)
    assert len(read) <= 4 * 4
    batches.close()
    assert len(read) <= 4 * 4
