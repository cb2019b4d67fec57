"""How long does ridge take at full size, and how much memory? Beside scipy's bare linear algebra.

    python benchmarks/ridge_speed.py --json out.json

The data are made up: captions of about nine words, the words as frequent as Zipf's law has it, five captions
a photograph. T is the time that scipy takes for the Gram matrix, one Cholesky factorisation and the solves.
The starting recipe's network, with its first layer dense, takes steps of its first epoch only; ten epochs
are extrapolated from them. The sides take turns, and figures are medians over the rounds. The peak is what
is resident in a process of its own, data and libraries included.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from scipy import linalg
from sklearn.preprocessing import normalize

from txt2img.mapping.closed_form import fit_ridge, fit_ridge_path

ALPHA, ALPHAS = 10.0, np.logspace(-1, 2, 7)
CAPTIONS_A_PHOTOGRAPH = 5
HIDDEN, BATCH_SIZE, EPOCHS = 2048, 128, 10


def main():
    """Make data, let the sides take turns, and print the table."""
    arguments = parse_arguments()
    if arguments.peak_of:
        SIDES[arguments.peak_of](*make_data(arguments))
        print(resident_peak())
        return
    rows = {name: {"peak_gib": measure_peak(name)} for name in SIDES}
    data = make_data(arguments)
    rounds = [
        {name: time_call(side, *data) for name, side in SIDES.items()}
        | {"network": time_network(*data[:2], arguments.network_steps)}
        for _ in range(arguments.repeats)
    ]
    rows["network"] = {"peak_gib": None}
    for name, row in rows.items():
        row["seconds"] = float(np.median([times[name] for times in rounds]))
        row["times_T"] = float(np.median([times[name] / times["scipy"] for times in rounds]))
    network_over_ridge = float(np.median([times["network"] / times["one alpha"] for times in rounds]))
    print(f"{arguments.n:,} captions, {arguments.p:,} terms, {arguments.t:,} targets\n")
    print(f"{'':12}{'seconds':>12}{'times T':>12}{'peak GiB':>12}")
    for name, row in rows.items():
        peak = "" if row["peak_gib"] is None else f"{row['peak_gib']:.2f}"
        print(f"{name:12}{row['seconds']:12.3g}{row['times_T']:12.3g}{peak:>12}")
    print(
        f"\nRidge at one alpha is {network_over_ridge:,.0f} times faster than {EPOCHS} epochs of the network "
        f"(extrapolated from {arguments.network_steps} steps)."
    )
    if arguments.json:
        table = {"n": arguments.n, "p": arguments.p, "t": arguments.t, "repeats": arguments.repeats}
        table |= {"network_steps": arguments.network_steps, "network_over_ridge": network_over_ridge}
        Path(arguments.json).write_text(json.dumps(table | {"sides": rows}, indent=1) + "\n")


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=100_000, help="captions, a multiple of 5")
    parser.add_argument("--p", type=int, default=9088, help="terms")
    parser.add_argument("--t", type=int, default=2048, help="targets")
    parser.add_argument("--repeats", type=int, default=3, help="rounds")
    parser.add_argument("--network-steps", type=int, default=10, help="steps of the network timed a round")
    parser.add_argument("--json", help="file to write the figures to")
    parser.add_argument("--peak-of", choices=SIDES, help=argparse.SUPPRESS)
    return parser.parse_args()


def make_data(arguments):
    """Make captions, targets and the photograph of each caption, in single precision.

    A caption takes six of the twelve words that its photograph has and three others.
    """
    n_captions, n_terms, n_targets = arguments.n, arguments.p, arguments.t
    rng = np.random.default_rng(0)
    photograph = np.repeat(np.arange(n_captions // CAPTIONS_A_PHOTOGRAPH), CAPTIONS_A_PHOTOGRAPH)
    frequency = 1 / np.arange(1, n_terms + 1)
    frequency /= frequency.sum()
    seen = rng.choice(n_terms, size=(photograph[-1] + 1, 12), p=frequency)
    said = seen[photograph[:, None], rng.integers(12, size=(n_captions, 6))]
    words = np.hstack([said, rng.choice(n_terms, size=(n_captions, 3), p=frequency)])
    X = normalize(count(words, n_terms))
    meaning = rng.standard_normal((n_terms, n_targets), dtype=np.float32)
    targets = count(seen, n_terms) @ meaning
    targets += 3 * rng.standard_normal(targets.shape, dtype=np.float32)
    return X, targets[photograph], photograph


def count(words, n_terms):
    """Count words, given as columns, in a sparse matrix."""
    starts = np.arange(0, words.size + 1, words.shape[1])
    counts = sp.csr_matrix((np.ones(words.size, np.float32), words.ravel(), starts), (len(words), n_terms))
    counts.sum_duplicates()
    return counts


def solve_by_scipy(X, Y, photograph):
    """Form the Gram matrix, factorise it once and solve for all targets, without an intercept."""
    gram = (X.T @ X).toarray(order="F")
    gram[np.diag_indices_from(gram)] += ALPHA
    factor = linalg.cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    return linalg.cho_solve(factor, X.T @ Y, check_finite=False)


def fit_one(X, Y, photograph):
    """Fit ridge at one alpha."""
    return fit_ridge(X, Y, ALPHA)


def fit_path(X, Y, photograph):
    """Fit ridge at the best of seven alphas."""
    return fit_ridge_path(X, Y, ALPHAS, photograph, random_state=0)


SIDES = {"scipy": solve_by_scipy, "one alpha": fit_one, f"{len(ALPHAS)} alphas": fit_path}


def time_call(function, *arguments):
    """Time one call in seconds."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def measure_peak(name):
    """Run one side in a process of its own and return the most memory that it held, in GiB."""
    command = [sys.executable, __file__, *sys.argv[1:], "--peak-of", name]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def resident_peak():
    """Read from Linux the most memory that this program has held, in GiB.

    The peak that getrusage knows begins with that of the process that started this one.
    """
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].removesuffix("kB")) / 2**20


def time_network(X, Y, n_steps):
    """Time steps of the recipe's network after a first one, and extrapolate to all epochs."""
    import torch

    network = torch.nn.Sequential(
        torch.nn.Linear(X.shape[1], HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, Y.shape[1])
    )
    optimizer = torch.optim.Adam(network.parameters())
    order = np.random.default_rng(0).permutation(len(Y))

    def step(i):
        rows = np.take(order, np.arange(i * BATCH_SIZE, (i + 1) * BATCH_SIZE), mode="wrap")
        optimizer.zero_grad()
        predicted = network(torch.from_numpy(X[rows].toarray()))
        torch.nn.functional.mse_loss(predicted, torch.from_numpy(Y[rows])).backward()
        optimizer.step()

    step(0)
    start = time.perf_counter()
    for i in range(1, n_steps + 1):
        step(i)
    return (time.perf_counter() - start) / n_steps * -(-len(Y) // BATCH_SIZE) * EPOCHS


if __name__ == "__main__":
    main()
