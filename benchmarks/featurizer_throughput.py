"""How many photographs a second become descriptors? Beside a plain loop, ONNX Runtime and OpenVINO.

    python benchmarks/featurizer_throughput.py --data flickr8k/images --json out.json

JPEGs of 640 x 480 and of 12 megapixels are made from the photographs in a folder, as mosaics, so that they
are as full of detail as photographs are. Weights are random: speed does not ask for them. The parts:

end to end   From files to descriptors: the library; a plain loop over torchvision's network as it is built
             and its transforms, one image after another, batch 32, float32; and what the cores allow, which
             is 1 / (1/d + 1/f) of d photographs a second decoded and prepared alone and f described alone.
large        The same from files of 12 megapixels.
forward      Pictures that are in memory already through the network: the library, ONNX Runtime and OpenVINO,
             each at the best of its settings (all cores on a batch, or a stream a core; float32, or
             bfloat16 where the processor has it), and the library in float32.

The floor of the forward pass is the network's arithmetic: 0.3 (MobileNetV2), 4.1 (ResNet-50) and 11.5
(ResNet-152) billion multiply-adds a picture. A core with AVX2 does 16 a cycle at most, 51 billion a second
at 3.2 GHz, so that two such cores see at most 340, 25 and 8.9 pictures a second.

The sides take turns, and figures are medians over the rounds.
"""

import argparse
import json
import math
import os
import tempfile
import threading
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image

from txt2img.images import Backbone, list_photographs
from txt2img.images.backbones import _cut_classifier
from txt2img.images.describing import described_batches
from txt2img.images.devices import choose_precision, processor_has_bfloat16
from txt2img.images.preprocessing import Preprocessing

PARTS = ("end to end", "large", "forward")
SIZE, LARGE = (640, 480), (4000, 3000)
TILE = 224
BATCH_SIZE = 32
NOISE = np.random.default_rng(0).integers(0, 256, (1, TILE, TILE, 3), dtype=np.uint8)


class Decoding(Backbone):
    """Decodes and prepares photographs, and describes nothing."""

    def describe(self, prepared, device, precision="auto"):
        """Give a zero a photograph."""
        return [np.zeros((len(prepared), 1), np.float32)]


class Describing(Backbone):
    """Describes the same pixels for every photograph."""

    def prepare(self, image):
        """Give noise."""
        return NOISE


def main():
    """Make files, run the parts, and print what they found."""
    arguments = parse_arguments()
    warnings.simplefilter("ignore")
    found = {
        "cores": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "precision": choose_precision("auto", torch.device("cpu")),
    }
    with tempfile.TemporaryDirectory() as folder:
        for part, counts, size in (("end to end", arguments.n, SIZE), ("large", arguments.n_large, LARGE)):
            if part not in arguments.parts:
                continue
            networks = arguments.networks if part == "end to end" else arguments.networks[:1]
            files = make_photographs(arguments.data, Path(folder) / part, max(counts), size)
            found[part] = {
                name: end_to_end(build(name), name, files[:n], arguments.repeats)
                for name, n in zip(networks, counts)
            }
            report(part, found[part])
        if "forward" in arguments.parts:
            found["forward"] = {
                name: forward(build(name), name, folder, arguments) for name in arguments.forward_networks
            }
            report("forward", found["forward"])
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(found, indent=1) + "\n")


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="folder of photographs that mosaics are made of")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to run")
    parser.add_argument("--networks", nargs="+", default=["mobilenet_v2", "resnet152"], help="for the files")
    parser.add_argument(
        "--n", nargs="+", type=int, default=[512, 96], help="files of 640 x 480 for each network"
    )
    parser.add_argument("--n-large", nargs="+", type=int, default=[48], help="files of 12 megapixels")
    parser.add_argument("--forward-networks", nargs="+", default=["mobilenet_v2", "resnet50", "resnet152"])
    parser.add_argument("--seconds", type=float, default=4, help="for each setting of a forward pass")
    parser.add_argument("--repeats", type=int, default=3, help="rounds")
    parser.add_argument("--json", help="file to write the figures to")
    return parser.parse_args()


def make_photographs(data, folder, n, size):
    """Write mosaics of photographs as JPEGs of quality 90, and return their paths."""
    sources = list_photographs(data)
    rng = np.random.default_rng(0)
    columns, rows = -(-size[0] // TILE), -(-size[1] // TILE)
    folder.mkdir(exist_ok=True)
    paths = [str(folder / f"{i:05}.jpg") for i in range(n)]
    for path in paths:
        mosaic = Image.new("RGB", (columns * TILE, rows * TILE))
        for i, chosen in enumerate(rng.integers(len(sources), size=columns * rows)):
            with Image.open(sources[chosen]) as source:
                tile = source.convert("RGB").resize((TILE, TILE))
            mosaic.paste(tile, (i % columns * TILE, i // columns * TILE))
        mosaic.crop((0, 0, *size)).save(path, quality=90)
    return paths


def build(name):
    """Build a network of torchvision with random weights, without its last layer."""
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None).eval()
    _cut_classifier(network)
    return network


def end_to_end(network, name, files, repeats):
    """Let the library, its two halves and the plain loop take turns."""
    # The library keeps the network in another layout, so that the plain loop gets one of its own.
    plain = build(name)
    sides = {
        "ours": lambda: describe(Backbone(name, network, Preprocessing()), files),
        "plain": lambda: loop(plain, files),
        "decoding": lambda: describe(Decoding(name, network, Preprocessing()), files),
        "describing": lambda: describe(Describing(name, network, Preprocessing()), blanks(len(files))),
    }
    describe(Backbone(name, network, Preprocessing()), files[:1])  # rewrites the network, once a process
    rounds = [{side: len(files) / timed(call) for side, call in sides.items()} for _ in range(repeats)]
    row = {side: median(each[side] for each in rounds) for side in sides}
    row["times plain"] = median(each["ours"] / each["plain"] for each in rounds)
    row["share of the bound"] = median(
        each["ours"] * (1 / each["decoding"] + 1 / each["describing"]) for each in rounds
    )
    return {"n": len(files)} | row


def describe(backbone, photos, precision="auto"):
    """Describe photographs with the library."""
    batches = described_batches(
        backbone,
        photos,
        batch_size=BATCH_SIZE,
        device="cpu",
        precision=precision,
        max_pixels=10**8,
        normalized=True,
    )
    return np.concatenate([batch.descriptors for batch in batches])


def blanks(n):
    """Make photographs that take no time to decode."""
    return [np.zeros((8, 8, 3), np.uint8)] * n


def loop(network, files):
    """Describe files as torchvision's documentation has it."""
    transforms = torchvision.transforms._presets.ImageClassification(crop_size=TILE)
    found = []
    with torch.no_grad():
        for start in range(0, len(files), BATCH_SIZE):
            images = [Image.open(file).convert("RGB") for file in files[start : start + BATCH_SIZE]]
            found.append(network(torch.stack([transforms(image) for image in images])).numpy())
    return np.concatenate(found)


def forward(network, name, folder, arguments):
    """Let the library, ONNX Runtime and OpenVINO take turns at pictures in memory."""
    path = os.path.join(folder, f"{name}.onnx")
    torch.onnx.export(
        network,
        torch.zeros(1, 3, TILE, TILE),
        path,
        dynamo=False,
        input_names=["x"],
        dynamic_axes={"x": {0: "n"}},
    )
    backbone = Describing(name, network, Preprocessing())
    settings = {
        "ours": {"a picture a core": lambda n: describe(backbone, blanks(n))},
        "ours in float32": {"a picture a core": lambda n: describe(backbone, blanks(n), "float32")},
    }
    settings["ONNX Runtime"] = onnx_runtime_settings(path)
    settings["OpenVINO"] = openvino_settings(path)
    counts = {}
    rounds = []
    for _ in range(arguments.repeats):
        rates = {}
        for side, calls in settings.items():
            for setting, call in calls.items():
                if (side, setting) not in counts:
                    call(BATCH_SIZE)
                    counts[side, setting] = arguments.seconds * BATCH_SIZE / timed(partial(call, BATCH_SIZE))
                n = math.ceil(counts[side, setting] / BATCH_SIZE) * BATCH_SIZE
                rates[side, setting] = n / timed(partial(call, n))
        rounds.append(rates)
    medians = {key: median(each[key] for each in rounds) for key in counts}
    best = {side: max(calls, key=lambda setting: medians[side, setting]) for side, calls in settings.items()}
    row = {side: medians[side, setting] for side, setting in best.items()}
    others = [side for side in best if not side.startswith("ours")]
    row |= {
        f"{ours} times {side}": median(each[ours, best[ours]] / each[side, best[side]] for each in rounds)
        for ours in best
        if ours not in others
        for side in others
    }
    return row | {f"setting of {side}": best[side] for side in others}


def onnx_runtime_settings(path):
    """Return ways to put n pictures through ONNX Runtime."""
    import onnxruntime

    cores = torch.get_num_threads()

    def session(threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    wide, narrow = session(cores), session(1)

    def in_batches(size):
        pictures = noise(size)
        return lambda n: [wide.run(None, {"x": pictures}) for _ in range(-(-n // size))]

    one = noise(1)

    def in_one_stream(n):
        for _ in range(n):
            narrow.run(None, {"x": one})

    def in_streams(n):
        share = [n // cores + (i < n % cores) for i in range(cores)]
        threads = [
            threading.Thread(target=lambda k=k: [narrow.run(None, {"x": one}) for _ in range(k)])
            for k in share
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return {"batch 1": in_batches(1), "batch 32": in_batches(BATCH_SIZE), "a stream a core": in_streams}


def openvino_settings(path):
    """Return ways to put n pictures through OpenVINO."""
    import openvino

    core = openvino.Core()

    batch, one = noise(BATCH_SIZE), noise(1)

    def compiled(size, hint, precision):
        model = core.read_model(path)
        model.reshape([size, 3, TILE, TILE])
        options = {"PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": precision}
        return core.compile_model(model, "CPU", options)

    def in_batches(precision):
        model = compiled(BATCH_SIZE, "LATENCY", precision)
        return lambda n: [model(batch) for _ in range(-(-n // BATCH_SIZE))]

    def in_streams(precision):
        queue = openvino.AsyncInferQueue(compiled(1, "THROUGHPUT", precision))

        def run(n):
            for _ in range(n):
                queue.start_async(one)
            queue.wait_all()

        return run

    precisions = ["f32", "bf16"] if processor_has_bfloat16() else ["f32"]
    return {
        f"{setting}, {precision}": make(precision)
        for precision in precisions
        for setting, make in (("batch 32", in_batches), ("throughput", in_streams))
    }


def noise(n):
    """Make pictures as the network gets them."""
    return np.random.default_rng(0).standard_normal((n, 3, TILE, TILE), dtype=np.float32)


def timed(call):
    """Time one call in seconds."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def median(values):
    """Return the median as a Python number."""
    return float(np.median(list(values)))


def report(part, rows):
    """Print the figures of a part."""
    for name, row in rows.items():
        shown = {key: f"{value:.3g}" if isinstance(value, float) else value for key, value in row.items()}
        figures = ", ".join(f"{key} {value}" for key, value in shown.items())
        print(f"{part}, {name}: {figures}", flush=True)


if __name__ == "__main__":
    main()
