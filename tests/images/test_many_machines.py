"""The recipes of the book for several machines, each on a small cluster on this one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import txt2img
from txt2img import ImageFeaturizer

pytestmark = pytest.mark.slow

DASK = """
from distributed import Client, LocalCluster
cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
client = Client(cluster)
backend = "dask"
"""
RAY = """
import ray
from ray.util.joblib import register_ray
ray.init(num_cpus=2, include_dashboard=False)
register_ray()
backend = "ray"
"""
SHARDS = """
import os, sys
import joblib
from txt2img import ImageFeaturizer
from txt2img.images import list_photographs

def describe_shard(photos, path):
    if os.path.exists(path):
        return None
    featurizer.transform(photos, out=path)
    return [failure.path for failure in featurizer.failures_]

if __name__ == "__main__":
    {cluster}
    featurizer = ImageFeaturizer("efficientnet_lite0", on_error="warn", batch_size=2, cache="store")
    photos = list_photographs("photos")
    shards = {{f"shards/{{start:06}}.npy": photos[start : start + 3] for start in range(0, len(photos), 3)}}
    with joblib.parallel_config(backend):
        failed = joblib.Parallel(n_jobs=2)(
            joblib.delayed(describe_shard)(shard, path) for path, shard in shards.items()
        )
    print(failed)
"""
RAY_DATA = """
import numpy as np
import ray
from txt2img import ImageFeaturizer
from txt2img.images import list_photographs

class Describe:
    def __init__(self):
        self.featurizer = ImageFeaturizer("efficientnet_lite0", on_error="warn").fit(["photograph"])

    def __call__(self, batch):
        return {"path": batch["path"], "descriptor": self.featurizer.transform(list(batch["path"]))}

if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False)
    photos = [{"path": path} for path in list_photographs("photos")]
    described = ray.data.from_items(photos).map_batches(Describe, batch_size=4, concurrency=1)
    described.write_parquet("described")
"""


@pytest.fixture
def folder(photograph_files, tmp_path):
    """Return a folder with nine photographs in ``photos``, one of them bad, and an empty ``shards``."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "shards").mkdir()
    for copy in range(2):
        for path in photograph_files[: 5 - copy]:
            os.link(path, tmp_path / "photos" / f"{copy}_{Path(path).name}")
    (tmp_path / "photos" / "0_bad.jpg").write_bytes(b"no photograph")
    return tmp_path


@pytest.fixture
def expected(folder):
    featurizer = ImageFeaturizer("efficientnet_lite0", on_error="warn")
    with pytest.warns(UserWarning, match="1 of 10"):
        return featurizer.transform(sorted((folder / "photos").iterdir()))


def run(program, folder):
    """Run a program, and return the lines that it prints, among which a cluster may have its say."""
    (folder / "program.py").write_text(program)
    environment = os.environ | {
        "PYTHONPATH": str(Path(txt2img.__file__).parents[1]),
        "PYTHONUNBUFFERED": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(("module", "cluster"), [("distributed", DASK), ("ray", RAY)])
def test_shards_under_joblib_are_the_unit_of_restart(module, cluster, folder, expected):
    pytest.importorskip(module)
    program = SHARDS.format(cluster=cluster.strip().replace("\n", "\n    "))
    assert "[[], ['photos/0_bad.jpg'], [], []]" in run(program, folder)
    shards = sorted((folder / "shards").iterdir())
    np.testing.assert_allclose(np.vstack([np.load(path) for path in shards]), expected, atol=1e-5)
    shards[1].unlink()
    before = [path.stat().st_mtime_ns for path in shards if path != shards[1]]
    assert "[None, ['photos/0_bad.jpg'], None, None]" in run(program, folder)
    assert [path.stat().st_mtime_ns for path in shards if path != shards[1]] == before
    np.testing.assert_allclose(np.vstack([np.load(path) for path in shards]), expected, atol=1e-5)


def test_ray_data(folder, expected):
    pytest.importorskip("ray.data")
    pandas = pytest.importorskip("pandas")
    run(RAY_DATA, folder)
    table = pandas.read_parquet(folder / "described").sort_values("path")
    np.testing.assert_allclose(np.vstack(table["descriptor"]), expected, atol=1e-5)
