"""How fast does an index answer, and what does a million photographs take? Beside scikit-learn and faiss.

    python benchmarks/search_speed.py --json out.json
    python benchmarks/search_speed.py --parts one batch

The parts: "one", 1,000 photographs of 2,048 numbers asked one query at a time, beside NearestNeighbors;
"sentence", from a sentence to its answer by the default search; "batch", 5,000 queries among 1,000 and
20,000 photographs, beside faiss's IndexFlatIP; "million", a million photographs of 256 numbers, exactly in
half precision from disk and by faiss's graph. The sides take turns, and figures are medians over the rounds.

The million descriptors are made up like real ones: photographs lie about 20,000 centres, and both the centres
and what is around them spread less and less from one direction to the next, as 1 / sqrt(number of the
direction). A query is a photograph that nobody has taken in yet.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from sklearn.neighbors import NearestNeighbors

from txt2img import ImageIndex, TextImageSearch
from txt2img._vectors import unit_rows
from txt2img.datasets import make_captioned_descriptors

K = 10


def main():
    """Measure the parts that are asked for, and print what came out."""
    arguments = parse_arguments()
    if arguments.measure_memory:
        print(json.dumps(search_from_disk(*arguments.measure_memory)))
        return
    figures = {}
    for part in arguments.parts:
        figures[part] = PARTS[part](arguments)
        print(f"{part}: {json.dumps(figures[part], indent=1)}", flush=True)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures, indent=1) + "\n")


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--repeats", type=int, default=5, help="rounds")
    parser.add_argument("--photographs", type=int, default=1_000_000, help="of the part 'million'")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the queries that are asked")
    parser.add_argument("--json", help="file to write the figures to")
    parser.add_argument("--measure-memory", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def measure_one(arguments):
    """Ask one query at a time."""
    rng = np.random.default_rng(0)
    gallery, queries = (unit_rows(rng.standard_normal((n, 2048), np.float32)) for n in (1000, 200))
    queries = queries[: max(2, int(arguments.scale * len(queries)))]
    index = ImageIndex().fit(gallery)
    theirs = NearestNeighbors(n_neighbors=K).fit(gallery)
    sides = {
        "ImageIndex": lambda query: index.search(query, K)[1],
        "NearestNeighbors": lambda query: theirs.kneighbors(query)[1],
        "matrix-vector product alone": lambda query: gallery @ query[0],
    }
    assert np.array_equal(sides["ImageIndex"](queries), sides["NearestNeighbors"](queries))
    seconds = take_turns(
        {name: lambda side=side: [side(query[None]) for query in queries] for name, side in sides.items()},
        arguments.repeats,
    )
    rates = {f"{name}, queries a second": len(queries) / s for name, s in seconds.items()}
    return rates | {"times NearestNeighbors": seconds["NearestNeighbors"] / seconds["ImageIndex"]}


def measure_sentence(arguments):
    """Ask the default search, learned from made-up captions, one sentence a call."""
    captions, descriptors = make_captioned_descriptors(2000, 5, n_features=512, random_state=0)
    search = TextImageSearch().fit(descriptors[:1000], captions[:1000]).add(descriptors[1000:])
    sentences = [own[0] for own in captions[1000:]][: max(2, int(arguments.scale * 1000))]
    vectors = search.vectorizer_.transform(sentences)
    predicted = search.predict(sentences)
    sides = {
        "sentence to answer": lambda: [search.query(sentence, K) for sentence in sentences],
        "words to vector": lambda: [search.vectorizer_.transform([sentence]) for sentence in sentences],
        "vector to prediction": lambda: [search.regressor_.predict(vector) for vector in vectors],
        "prediction to photographs": lambda: [search.index_.search(one[None], K) for one in predicted],
    }
    seconds = take_turns(sides, arguments.repeats)
    return {f"{name}, a second": len(sentences) / s for name, s in seconds.items()} | {
        "numbers a descriptor": predicted.shape[1],
        "probabilities": search.calibrator_ is not None,
    }


def measure_batch(arguments):
    """Ask 5,000 queries at once."""
    import faiss

    rng, figures = np.random.default_rng(0), {}
    queries = unit_rows(rng.standard_normal((max(2, int(5000 * arguments.scale)), 2048), np.float32))
    for n in (1000, 20_000):
        gallery = unit_rows(rng.standard_normal((n, 2048), np.float32))
        index, theirs = ImageIndex().fit(gallery), faiss.IndexFlatIP(2048)
        theirs.add(gallery)
        sides = {
            "ImageIndex": lambda index=index: index.search(queries, K),
            "IndexFlatIP": lambda theirs=theirs: theirs.search(queries, K),
        }
        seconds = take_turns(sides, arguments.repeats)
        figures[f"{n} photographs"] = {
            f"{name}, queries a second": len(queries) / s for name, s in seconds.items()
        } | {"times IndexFlatIP": seconds["IndexFlatIP"] / seconds["ImageIndex"]}
    return figures


def measure_million(arguments):
    """Take in many photographs, save, load and search them, exactly and by a graph."""
    n, d = arguments.photographs, 256
    figures = {"photographs": n}
    exact = ImageIndex(dtype="float16")
    graph = ImageIndex(backend="faiss", backend_params={"kind": "hnsw"}, dtype="float16")
    gallery, queries = clustered_descriptors(n, d), clustered_descriptors(1000, d, seed=1)
    figures["exact, seconds to take in"] = seconds_of(lambda: exact.fit(gallery))
    figures["graph, seconds to take in"] = seconds_of(lambda: graph.fit(gallery))
    with tempfile.TemporaryDirectory() as folder:
        for name, index in (("exact", exact), ("graph", graph)):
            path = Path(folder, name)
            figures[f"{name}, seconds to save"] = seconds_of(lambda index=index, path=path: index.save(path))
            figures[f"{name}, seconds to load"] = seconds_of(lambda path=path: ImageIndex.load(path))
            figures[f"{name}, MB on disk"] = sum(f.stat().st_size for f in path.iterdir()) / 1e6
        figures["exact, seconds to load and verify"] = seconds_of(
            lambda: ImageIndex.load(Path(folder, "exact"), verify=True)
        )
        np.save(Path(folder, "queries.npy"), queries)
        command = [sys.executable, __file__, "--measure-memory", f"{folder}/exact", f"{folder}/queries.npy"]
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        figures |= json.loads(found)
        exact = ImageIndex.load(Path(folder, "exact"))
        right, some = exact.search(queries, K)[1], queries[: max(2, int(20 * arguments.scale))]
        for ef_search in (32, 64, 128):
            graph._backend.ef_search = ef_search
            own = recall(graph.search(queries, K)[1], right)
            sides = {
                "exact": lambda: [exact.search(query[None], K) for query in some],
                "graph": lambda: [graph.search(query[None], K) for query in queries[:200]],
                "graph, batch": lambda: graph.search(queries, K),
            }
            seconds = take_turns(sides, min(3, arguments.repeats))
            each = {"exact": len(some), "graph": 200, "graph, batch": len(queries)}
            rates = {f"{name}, queries a second": each[name] / s for name, s in seconds.items()}
            ratio = rates["graph, queries a second"] / rates["exact, queries a second"]
            figures[f"ef_search {ef_search}"] = rates | {"recall@10": own, "times exact": ratio}
        seconds = take_turns({"batch": lambda: exact.search(queries, K)}, 1)
        figures["exact, batch of 1,000, queries a second"] = len(queries) / seconds["batch"]
    for dtype in ("float32", "int8"):
        some = clustered_descriptors(min(n, 100_000), d)
        right = ImageIndex().fit(some).search(queries, K)[1]
        found = ImageIndex(dtype=dtype).fit(some).search(queries, K)[1]
        figures[f"recall@10 of {dtype} at 100,000"] = recall(found, right)
    found = ImageIndex(dtype="float16").fit(some).search(queries, K)[1]
    return figures | {"recall@10 of float16 at 100,000": recall(found, right)}


def search_from_disk(folder, queries):
    """Load an index, search for one query and for many, and tell the most memory beyond the mapped file."""
    queries = np.load(queries)
    before = resident("RssAnon")
    index = ImageIndex.load(folder)
    peak, done = [before], threading.Event()

    def watch():
        while not done.wait(0.002):
            peak.append(resident("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    index.search(queries[:1], K)
    one = max(peak)
    index.search(queries, K)
    done.set()
    watcher.join()
    return {
        "exact, MB beyond the mapped file, one query": (one - before) / 1e3,
        f"exact, MB beyond the mapped file, {len(queries)} queries": (max(peak) - before) / 1e3,
    }


def resident(kind):
    """Read from Linux how much memory of a kind this program holds, in kB."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[kind].removesuffix("kB"))


def clustered_descriptors(n, d, seed=0, n_centres=20_000):
    """Make descriptors of length 1 that lie about centres; see the top of this file."""
    spread = (np.arange(1, d + 1) ** -0.5).astype(np.float32)
    centres = np.random.default_rng(99).standard_normal((n_centres, d), np.float32) * spread
    rng = np.random.default_rng(seed)
    descriptors = rng.standard_normal((n, d), np.float32)
    descriptors *= 0.7 * spread
    for start in range(0, n, 100_000):
        own = descriptors[start : start + 100_000]
        own += centres[rng.integers(n_centres, size=len(own))]
    return unit_rows(descriptors)


def recall(found, right):
    """Share of the right photographs that were found."""
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), right.tolist())]))


def take_turns(sides, repeats):
    """Time each side in turn, round by round, after a first round that does not count; medians in seconds."""
    rounds = [{name: seconds_of(side) for name, side in sides.items()} for _ in range(repeats + 1)]
    return {name: float(np.median([times[name] for times in rounds[1:]])) for name in sides}


def seconds_of(call):
    """Time one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


PARTS = {
    "one": measure_one,
    "sentence": measure_sentence,
    "batch": measure_batch,
    "million": measure_million,
}

if __name__ == "__main__":
    main()
