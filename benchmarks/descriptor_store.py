"""What it costs to describe photographs again when some are new: with a store, and with joblib.Memory.

The photographs of a folder are copied aside, so that those that are given stay as they are. One run is
timed: all of them without any store, with an empty store, again with nothing new, with one in a hundred new,
and after all of them were renamed; and the same with ``joblib.Memory``, which many would take, around a
function that describes a batch of paths, and around one that describes one photograph. It knows photographs
by their paths only, so that it also gives the old descriptor of a file that has changed.

    python benchmarks/descriptor_store.py DIR --backbone efficientnet_lite0 --n-photographs 1000
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np

from txt2img import ImageFeaturizer
from txt2img.images import DescriptorStore, list_photographs


def main():
    """Time and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="photographs")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--n-photographs", type=int, default=1000)
    parser.add_argument("--new", type=float, default=0.01, help="share of new photographs (default: 0.01)")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    photos = list_photographs(arguments.folder)[: arguments.n_photographs]
    n_new = max(1, round(arguments.new * len(photos)))
    ImageFeaturizer(arguments.backbone).transform(photos[:2])  # loads the network
    runs = []
    for repeat in range(arguments.repeats):
        runs.append(time_all(arguments.backbone, photos, n_new))
        print(f"run {repeat + 1} of {arguments.repeats} is done", file=sys.stderr)
    print(
        f"{len(photos)} photographs, {n_new} of them new, {arguments.backbone}; medians of {len(runs)} runs"
    )
    for name in runs[0]:
        seconds = statistics.median(run[name] for run in runs)
        whole = statistics.median(run["no store"] for run in runs)
        print(f"{name:<36}{seconds:>9.2f} s{seconds / whole:>9.1%}")


def time_all(backbone, photos, n_new):
    """Return seconds by what was done, in a folder that is new."""
    seconds = {}

    def timed(name, describe, paths, expected=None):
        start = time.perf_counter()
        found = describe(paths)
        seconds[name] = time.perf_counter() - start
        if expected is not None:
            np.testing.assert_allclose(found, expected, atol=1e-5)
        return found

    with tempfile.TemporaryDirectory() as folder:
        paths = [shutil.copy(photo, Path(folder, f"{i:06}.jpg")) for i, photo in enumerate(photos)]
        featurizer = ImageFeaturizer(backbone)
        stored = ImageFeaturizer(backbone, cache=Path(folder, "store"))
        expected = timed("no store", featurizer.transform, paths)
        old = paths[n_new:]
        timed("empty store", stored.transform, old, expected[n_new:])
        timed("store, nothing new", stored.transform, old, expected[n_new:])
        timed(f"store, {n_new} new", stored.transform, paths, expected)
        renamed = [path.rename(path.with_suffix(".JPEG")) for path in map(Path, paths)]
        timed("store, all renamed", stored.transform, renamed, expected)
        with DescriptorStore(stored.cache) as store:
            bytes_each = store.n_bytes / len(store)
            print(
                f"{bytes_each / expected[0].nbytes:.2f} bytes on disk a byte of descriptors", file=sys.stderr
            )
        for path, was in zip(renamed, paths):
            path.rename(was)

        memory = joblib.Memory(Path(folder, "memory"), verbose=0)

        @memory.cache
        def describe_batch(paths):
            return featurizer.transform(paths)

        @memory.cache
        def describe_one(path):
            return featurizer.transform([path])[0]

        def by_batch(paths):
            return np.vstack(
                [describe_batch(paths[start : start + 32]) for start in range(0, len(paths), 32)]
            )

        def one_by_one(paths):
            return np.stack([describe_one(path) for path in paths])

        for name, describe in (
            ("joblib.Memory a batch", by_batch),
            ("joblib.Memory a photograph", one_by_one),
        ):
            timed(f"{name}, empty", describe, old, expected[n_new:])
            timed(f"{name}, {n_new} new", describe, paths, expected)
    return seconds


if __name__ == "__main__":
    main()
