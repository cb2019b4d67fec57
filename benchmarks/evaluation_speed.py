"""How long does an evaluation take, and how much memory? Beside a bare matrix product and torchmetrics.

    python benchmarks/evaluation_speed.py --json out.json
    python benchmarks/evaluation_speed.py --parts small

The parts: "small", 5,000 captions among 1,000 photographs of 2,048 numbers: from predictions to a report, in
both directions and in folds, beside one product of the two matrices in float32; and from scores to one
recall, beside torchmetrics' RetrievalHitRate. "large", 25,000 captions among 100,000 photographs of 256
numbers, whose scores would take 9.3 GiB, in a program of its own that tells how far the peak of its memory
rose. The sides take turns, and figures are medians over the rounds.

The floors, on two cores without anything else to do: a report of "small" in at most 1.3 times the product and
50 ms, a recall from scores at least 20 times as fast as torchmetrics, "large" in at most 2 GiB.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from txt2img import ImageIndex, RetrievalEvaluator
from txt2img._vectors import unit_rows
from txt2img.evaluation import better_and_tied, recall_at

CAPTIONS_A_PHOTOGRAPH = 5


def main():
    """Measure the parts that are asked for, and print what came out."""
    arguments = parse_arguments()
    if arguments.tell_memory:
        print(json.dumps(evaluate_many(arguments)))
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
    parser.add_argument("--repeats", type=int, default=7, help="rounds")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the captions and photographs")
    parser.add_argument("--json", help="file to write the figures to")
    parser.add_argument("--tell-memory", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure_small(arguments):
    """Evaluate 5,000 captions among 1,000 photographs."""
    import torch
    from torchmetrics.retrieval import RetrievalHitRate

    gallery, predicted, true_ids = make_data(int(1000 * arguments.scale), 2048)
    index = ImageIndex().fit(gallery)
    queries, gallery, _ = index.score_factors(predicted)
    scores = queries @ gallery.T
    n_queries, n_gallery = scores.shape
    query = torch.arange(n_queries).repeat_interleave(n_gallery)
    target = torch.from_numpy(true_ids[:, None] == np.arange(n_gallery)).flatten()
    flat = torch.from_numpy(scores).flatten()
    hit_rate, evaluate = RetrievalHitRate(top_k=5), RetrievalEvaluator.evaluate
    problem = (predicted, index, true_ids)
    sides = {
        "matrix product": lambda: queries @ gallery.T,
        "report": lambda: evaluate(RetrievalEvaluator(), *problem),
        "report in 5 folds": lambda: evaluate(RetrievalEvaluator(n_folds=5), *problem),
        "report of photographs that ask": lambda: evaluate(
            RetrievalEvaluator(direction="photograph_to_text"), *problem
        ),
        "recall from scores": lambda: recall_at(*better_and_tied(scores, true_ids), k=5),
        "torchmetrics from scores": lambda: float(hit_rate(flat, target, indexes=query)),
    }
    recalls = [sides[name]() for name in ("recall from scores", "torchmetrics from scores")]
    assert abs(recalls[0] - recalls[1]) < 1e-6, recalls
    seconds = take_turns(sides, arguments.repeats)
    product, report = seconds["matrix product"], seconds["report"]
    return {f"{name}, ms": 1000 * each for name, each in seconds.items()} | {
        "floor of a report, ms": 1300 * product + 50,
        "report, times the product": report / product,
        "torchmetrics, times recall from scores": seconds["torchmetrics from scores"]
        / seconds["recall from scores"],
        "torchmetrics, times report": seconds["torchmetrics from scores"] / report,
    }


def measure_large(arguments):
    """Evaluate 25,000 captions among 100,000 photographs in a program of its own."""
    command = [sys.executable, __file__, "--tell-memory", "--scale", str(arguments.scale)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def evaluate_many(arguments):
    """Evaluate both ways, and tell the seconds and how much the peak of memory rose."""
    n = int(5000 * arguments.scale)
    gallery, predicted, true_ids = make_data(n, 256, n_uncaptioned=19 * n)
    index, figures = ImageIndex().fit(gallery), {}
    for direction in ("text_to_photograph", "photograph_to_text"):
        evaluator = RetrievalEvaluator(direction=direction)
        Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
        before, start = memory("VmRSS"), time.perf_counter()
        report = evaluator.evaluate(predicted, index, true_ids)
        figures[direction] = {
            "queries": report.n_queries,
            "candidates": report.n_gallery,
            "seconds": time.perf_counter() - start,
            "peak GiB beyond data and libraries": memory("VmHWM") - before,
        }
    return figures


def make_data(n_photographs, n_features, n_uncaptioned=0):
    """Make photographs, five predictions for each of the captioned ones, and the photograph of each."""
    rng = np.random.default_rng(0)
    gallery = unit_rows(rng.standard_normal((n_photographs + n_uncaptioned, n_features), np.float32))
    true_ids = np.repeat(np.arange(n_photographs), CAPTIONS_A_PHOTOGRAPH)
    noise = rng.standard_normal((len(true_ids), n_features), np.float32)
    return gallery, gallery[true_ids] + 0.2 * noise, true_ids


def memory(kind):
    """Read from Linux how much memory this program holds (VmRSS) or has held at most (VmHWM), in GiB.

    The peak that getrusage knows begins with that of the process that started this one.
    """
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[kind].removesuffix("kB")) / 2**20


def take_turns(sides, repeats):
    """Time each side in turn, round by round, after a first round that does not count; medians in seconds."""
    rounds = [{name: seconds_of(side) for name, side in sides.items()} for _ in range(repeats + 1)]
    return {name: float(np.median([times[name] for times in rounds[1:]])) for name in sides}


def seconds_of(call):
    """Time one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


PARTS = {"small": measure_small, "large": measure_large}

if __name__ == "__main__":
    main()
