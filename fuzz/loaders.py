"""Fuzz every loader of files: ``python fuzz/loaders.py TARGET [options of libFuzzer]``.

Each target below is named after what it reads, and is given the content of one file. It must come back with a
result or with an error that the library itself raised and worded; anything else, a hang or a growth of memory
ends the run, and libFuzzer leaves the content that did it. The corpus in ``fuzz/corpus/TARGET`` grows
from files that the library and its dependencies write here. `tests/test_fuzz.py` runs every target on these.
"""

import atexit
import functools
import hashlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
import traceback
import warnings
from contextlib import closing, suppress
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["txt2img", "PIL"]):
        import PIL.ImageFile  # noqa: F401

        import txt2img.album  # noqa: F401

from txt2img import DescriptorWhitener, ImageIndex, TextImageSearch, TextToVisualRegressor, persistence
from txt2img._files import as_array
from txt2img.album import CHANGED, Album
from txt2img.datasets import (
    load_captions,
    load_captions_table,
    load_coco_captions,
    load_flickr_tokens,
    load_sidecar_captions,
    make_captioned_descriptors,
)
from txt2img.evaluation.displays._thumbnails import thumbnail
from txt2img.exceptions import SavedFileError, UnknownBackboneError, UnreadablePhotographError
from txt2img.images import DescriptorStore, read_photograph
from txt2img.images.onnx_backbone import load_onnx

OWN_ERRORS = (FileNotFoundError, SavedFileError, UnknownBackboneError, UnreadablePhotographError, ValueError)
MAX_PIXELS = 10_000
SOURCE = str(Path(persistence.__file__).parent)
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
VALUES = [None, True, -1, 0, 10**30, 0.5, float("nan"), "", "../x", "\0", "\ud800", "x" * 300, [], {}, [[]]]


def photograph(content, folder):
    """Read a photograph from the content of its file."""
    read_photograph(content, max_pixels=MAX_PIXELS)


def contact_sheet_tile(content, folder):
    """Draw a photograph small, as a contact sheet does."""
    thumbnail(written(folder / "photograph", content), (32, 32), crop=True)


def captions(content, folder):
    """Read captions in a format that the first line tells."""
    load_captions(written(folder / "captions.txt", content), missing="ignore")


def captions_tsv(content, folder):
    """Read captions in a table separated by tabs."""
    load_captions_table(written(folder / "captions.tsv", content), missing="ignore")


def captions_csv(content, folder):
    """Read captions in a table separated by commas."""
    load_captions_table(written(folder / "captions.csv", content), split="train", missing="ignore")


def captions_coco(content, folder):
    """Read captions in the JSON of COCO."""
    load_coco_captions(written(folder / "captions.json", content), missing="ignore")


def captions_tokens(content, folder):
    """Read captions as Flickr8k has them."""
    load_flickr_tokens(written(folder / "captions.token", content), missing="ignore")


def captions_sidecar(content, folder):
    """Read captions in a text file beside the photograph."""
    written(folder / "cat.txt", content)
    load_sidecar_captions(folder)


def manifest(content, folder):
    """Load a saved search by its manifest, whose sum is made anew as an attacker would."""
    written(folder / persistence.MANIFEST, signed(content))
    TextImageSearch.load(folder)


def album(content, folder):
    """Keep an album up to date whose saved search has this manifest."""
    written(folder / "search" / persistence.MANIFEST, signed(content))
    (folder / "photographs").mkdir(exist_ok=True)
    Album(folder).index([folder / "photographs"])


def array(content, folder):
    """Load an index with this file of descriptors, read and then mapped."""
    saved = json.loads((folder / "index.json").read_text())
    digest = hashlib.sha256(content).hexdigest()
    written(folder / f"{digest}.npy", content)
    saved["estimator"]["fitted"]["backend_"]["dict"]["first_"] = {"array": digest}
    with suppress(Exception):
        found = as_array(content)
        saved["arrays"][digest] = {"dtype": str(found.dtype), "shape": list(found.shape)}
    written(folder / persistence.MANIFEST, signed(json.dumps(saved).encode()))
    try:
        ImageIndex.load(folder)
    finally:
        with mock.patch.object(persistence, "MAPPED_BYTES", 0):
            ImageIndex.load(folder, verify=True)


def store(content, folder):
    """Open a store of descriptors, and do all that can be done with it."""
    file = written(folder / "descriptors.sqlite", content)
    with closing(DescriptorStore(folder)) as opened:
        settings = opened.open_settings({"backbone": "ours"})
        opened.load(settings, [b"photograph"])
        opened.add(settings, {b"another": np.zeros(3)})
        opened.photograph_of(file, file.stat())
        opened.counts()
        opened.prune(backbone="ours", older_than=1, missing=True)


def onnx(content, folder):
    """Load a network from an ONNX file."""
    load_onnx(str(written(folder / "network.onnx", content)))


TARGETS = {
    target.__name__: target
    for target in [
        photograph,
        contact_sheet_tile,
        captions,
        captions_tsv,
        captions_csv,
        captions_coco,
        captions_tokens,
        captions_sidecar,
        manifest,
        album,
        array,
        store,
        onnx,
    ]
}


def run(target, content):
    """Give a target its file in a folder of its own, and let no error pass but the library's."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        FURNITURE.get(target, lambda folder: None)(Path(folder))
        try:
            TARGETS[target](content, Path(folder))
        except OWN_ERRORS as error:
            if not is_own(error):
                raise


def is_own(error):
    """Say whether an error is one of the library's, raised by a statement of its own code."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return type(error) in OWN_ERRORS and last.filename.startswith(SOURCE) and last.line.startswith("raise")


def written(file, content):
    """Write a file and give its path."""
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    return file


def signed(content):
    """Give a manifest the sum that belongs to it, if it is one."""
    try:
        saved = json.loads(content)
        saved.pop("sha256", None)
        saved["sha256"] = persistence._sum_of_manifest(saved)
        return json.dumps(saved).encode()
    except (ValueError, TypeError, AttributeError, RecursionError):
        return content


def mutated(content, max_size, seed):
    """Change JSON in one place, so that it stays JSON."""
    rng = random.Random(seed)
    try:
        tree = {"root": json.loads(content)}
    except (ValueError, RecursionError):
        return atheris.Mutate(content, max_size)
    places = [(tree, "root")]
    for parent, key in places:
        child = parent[key]
        keys = child if isinstance(child, dict) else range(len(child)) if isinstance(child, list) else ()
        places += [(child, own) for own in keys]
    parent, key = rng.choice(places)
    kind = rng.randrange(4)
    if kind == 0:
        parent[key] = rng.choice(VALUES)
    elif kind == 1:
        other, own = rng.choice(places)
        parent[key] = json.loads(json.dumps(other[own]))
    elif kind == 2 and parent is not tree:
        del parent[key]
    else:
        text = json.dumps(parent[key]).encode()
        with suppress(ValueError, RecursionError):
            parent[key] = json.loads(atheris.Mutate(text, 2 * len(text)))
    return json.dumps(tree.get("root")).encode()[:max_size]


def furnish_with_a_search(folder):
    """Copy the arrays of a saved search to where a manifest is read."""
    shutil.copytree(saved_search(), folder, dirs_exist_ok=True)
    shutil.copytree(saved_search(), folder / "search")


@functools.cache
def saved_search():
    """Save a small search, with the column of metadata that an album needs."""
    folder = tempfile.mkdtemp(dir=MEMORY)
    atexit.register(shutil.rmtree, folder)
    captions, descriptors = make_captioned_descriptors(12, 1, random_state=0)
    whitener = DescriptorWhitener(n_components=4)
    search = TextImageSearch(whitener=whitener, regressor=TextToVisualRegressor(), calibration_share=None)
    search.fit(descriptors, captions)
    search.add(descriptors[:4], ids=list("abcd"), metadata={CHANGED: [1, 2, 3, 4]}).save(folder)
    return folder


def furnish_with_an_index(folder):
    """Save an index of four descriptors, with its manifest under another name."""
    ImageIndex("euclidean").fit(np.eye(4, 3)).save(folder)
    (folder / persistence.MANIFEST).rename(folder / "index.json")


def furnish_with_a_photograph(folder):
    """Put down a photograph, so that captions are of something."""
    (folder / "cat.jpg").touch()


FURNITURE = {
    "manifest": furnish_with_a_search,
    "album": furnish_with_a_search,
    "array": furnish_with_an_index,
}
FURNITURE |= {name: furnish_with_a_photograph for name in TARGETS if name.startswith("captions")}


def seeds(target):
    """Give the contents of files with which a target begins."""
    if target in ("photograph", "contact_sheet_tile"):
        return photographs()
    if target in ("manifest", "album"):
        return [Path(saved_search(), persistence.MANIFEST).read_bytes()]
    if target == "array":
        return [npy(np.eye(4, 3, dtype=np.float32)), npy(np.asfortranarray(np.eye(4, 3))), npy(np.arange(3))]
    if target == "store":
        return [database()]
    if target == "onnx":
        return [network({"pictures": shape}, shape) for shape in (["n", 3, 8, 8], ["n", 3], [])]
    coco = {
        "images": [{"id": 1, "file_name": "cat.jpg"}],
        "annotations": [{"image_id": 1, "caption": "a cat"}],
    }
    texts = {
        "captions_tsv": ["image\tcaption\ncat.jpg\ta cat\n"],
        "captions_csv": ['split,image,caption\ntrain,cat.jpg,"a cat, asleep"\n'],
        "captions_coco": [json.dumps(coco)],
        "captions_tokens": ["cat.jpg#0\ta cat\ncat.jpg#1\tun gato\n"],
        "captions_sidecar": ["a cat\nun gato ñ\n"],
    }
    texts["captions"] = [text for own in texts.values() for text in own]
    return [text.encode() for text in texts[target]]


def photographs():
    """Give small photographs in every format that is read, and in odd modes."""
    colours = Image.fromarray(np.arange(16 * 12 * 3, dtype=np.uint8).reshape(12, 16, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    ways = [(colours, kind, {}) for kind in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF")]
    ways += [
        (colours, "JPEG", {"progressive": True, "exif": exif}),
        (colours, "TIFF", {"compression": "tiff_lzw"}),
        (colours.convert("CMYK"), "JPEG", {}),
        (colours.convert("P"), "PNG", {"transparency": 3}),
        (Image.fromarray(np.arange(192, dtype=np.uint16).reshape(12, 16)), "PNG", {}),
        (colours, "GIF", {"save_all": True, "append_images": [colours.rotate(90)]}),
    ]
    contents = []
    for image, kind, options in ways:
        stream = io.BytesIO()
        with suppress(KeyError):  # this Pillow cannot write the format
            image.save(stream, kind, **options)
            contents.append(stream.getvalue())
    return contents


def npy(values):
    """Give the file of an array."""
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def database():
    """Give the file of a store with one descriptor."""
    with tempfile.TemporaryDirectory() as folder:
        with closing(DescriptorStore(folder)) as opened:
            opened.add(opened.open_settings({"backbone": "ours"}), {b"photograph": np.ones(3)})
            opened.see(folder, mock.Mock(st_size=1, st_mtime_ns=1, st_ctime_ns=1), b"photograph")
        return opened.file.read_bytes()


def network(takes, gives, kind="Identity", **attributes):
    """Give the ONNX file of a network of one node, from the shapes of its inputs and of its output."""
    from onnx import TensorProto, helper

    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in takes.items()]
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, gives)
    node = helper.make_node(kind, list(takes), ["out"], **attributes)
    graph = helper.make_graph([node], "small", inputs, [output])
    opset = helper.make_opsetid("", 18)
    return helper.make_model(graph, ir_version=9, opset_imports=[opset]).SerializeToString()


def main():
    """Fuzz the target that the command line names."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(
            f"usage: python fuzz/loaders.py TARGET [options of libFuzzer]; targets: {', '.join(TARGETS)}"
        )
    target = sys.argv.pop(1)
    corpus = Path(__file__).parent / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(seeds(target)):
        (corpus / f"seed_{number}").write_bytes(content)
    limits = ["-timeout=5", "-rss_limit_mb=2048", f"-artifact_prefix={corpus.parent}/{target}-"]
    is_json = target in ("manifest", "album", "captions_coco")
    ways = {"custom_mutator": mutated} if is_json else {}
    atheris.Setup(
        [sys.argv[0], str(corpus), *limits, *sys.argv[1:]], lambda content: run(target, content), **ways
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
