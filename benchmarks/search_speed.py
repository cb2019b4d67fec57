"""How fast does an index answer, and what does a million photographs take? Beside scikit-learn and faiss.

    python benchmarks/search_speed.py --json out.json
    python benchmarks/search_speed.py --parts one batch

The parts: "one", 1,000 photographs of 2,048 numbers asked one query at a time, beside NearestNeighbors;
"sentence", from a sentence to its answer by the default search; "batch", 5,000 queries among 1,000 and
20,000 photographs, beside faiss's IndexFlatIP; "disk", a million photographs of 256 numbers, exactly in half
precision from disk; "graph", the same by faiss's graph, beside exact search. The sides take turns, and
figures are medians over the rounds. --photographs makes fewer of the million, whose graph takes minutes.

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
    parser.add_argument("--photographs", type=int, default=1_000_000, help="of the parts 'disk' and 'graph'")
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


def measure_disk(arguments):
    """Take in many photographs in half precision, save, load, and search them from disk."""
    gallery, queries = clustered_descriptors(arguments.photographs), clustered_descriptors(1000, seed=1)
    index, figures = ImageIndex(dtype="float16"), {"photographs": arguments.photographs}
    figures["seconds to take in"] = seconds_of(lambda: index.fit(gallery))
    with tempfile.TemporaryDirectory() as folder:
        figures |= save_and_load(index, folder)
        figures["seconds to load and verify"] = seconds_of(lambda: ImageIndex.load(folder, verify=True))
        index = ImageIndex.load(folder)
        with tempfile.NamedTemporaryFile(suffix=".npy") as file:
            np.save(file, queries)
            file.flush()
            command = [sys.executable, __file__, "--measure-memory", folder, file.name]
            figures |= json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        some = queries[: max(2, int(20 * arguments.scale))]
        sides = {
            "one query a call": lambda: [index.search(query[None], K) for query in some],
            "1,000 at once": lambda: index.search(queries, K),
        }
        seconds = take_turns(sides, arguments.repeats)
        figures["one query a call, a second"] = len(some) / seconds["one query a call"]
        figures["1,000 at once, a second"] = len(queries) / seconds["1,000 at once"]
    some = gallery[:100_000]
    right = ImageIndex().fit(some).search(queries, K)[1]
    for dtype in ("float16", "int8"):
        found = ImageIndex(dtype=dtype).fit(some).search(queries, K)[1]
        figures[f"recall@10 of {dtype} among {len(some):,}"] = recall(found, right)
    return figures


def measure_graph(arguments):
    """Build a graph of many photographs, save, load and search it, beside exact search."""
    gallery, queries = clustered_descriptors(arguments.photographs), clustered_descriptors(1000, seed=1)
    exact = ImageIndex(dtype="float16").fit(gallery)
    graph = ImageIndex(backend="faiss", backend_params={"kind": "hnsw"}, dtype="float16")
    figures = {"photographs": arguments.photographs}
    figures["seconds to build"] = seconds_of(lambda: graph.fit(gallery))
    with tempfile.TemporaryDirectory() as folder:
        figures |= save_and_load(graph, folder)
    right, some = exact.search(queries, K)[1], queries[: max(2, int(20 * arguments.scale))]
    for ef_search in (64, 128, 256):
        graph._backend.ef_search = ef_search
        own = {"recall@10": recall(graph.search(queries, K)[1], right)}
        sides = {
            "exact": lambda: [exact.search(query[None], K) for query in some],
            "graph": lambda: [graph.search(query[None], K) for query in queries[:200]],
        }
        seconds = take_turns(sides, arguments.repeats)
        rates = {"exact": len(some) / seconds["exact"], "graph": 200 / seconds["graph"]}
        own |= {f"{name}, one query a call, a second": rate for name, rate in rates.items()}
        figures[f"ef_search {ef_search}"] = own | {"times exact": rates["graph"] / rates["exact"]}
    return figures


def save_and_load(index, folder):
    """Time both, and tell how much was written."""
    figures = {"seconds to save": seconds_of(lambda: index.save(folder))}
    figures["seconds to load"] = seconds_of(lambda: ImageIndex.load(folder))
    return figures | {"MB on disk": sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6}


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
        "MB beyond the mapped file, one query": (one - before) / 1e3,
        "MB beyond the mapped file, 1,000 queries": (max(peak) - before) / 1e3,
    }


def resident(kind):
    """Read from Linux how much memory of a kind this program holds, in kB."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[kind].removesuffix("kB"))


def clustered_descriptors(n, d=256, seed=0, n_centres=20_000):
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
    "disk": measure_disk,
    "graph": measure_graph,
}

if __name__ == "__main__":
    main()
