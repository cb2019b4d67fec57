"""How often does the right photograph come first? Chance, the starting recipe, the default and the best.

    python benchmarks/retrieval_quality.py --data DIR --split dev --language en --json out.json

DIR holds images/ and captions_LANGUAGE.tsv with the columns image, split and caption, without quoting.
Each search is trained on the photographs of the split "train" and asked with every caption of the split
named; its gallery are all photographs that any captions file puts in that split. One photograph is right;
among equal scores the mean rank counts. Each search gets the descriptors that it asks for, of the backbone
efficientnet_lite2 where it leaves that open to those who can download weights.
"""

import argparse
import csv
import hashlib
import json
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import FeatureUnion

from txt2img import TextImageSearch
from txt2img.datasets import load_captions_table
from txt2img.exceptions import UnknownWordsWarning

BACKBONE = "efficientnet_lite2"
OPTIONS = ("layers", "pooling", "framing", "resolution", "mirrored")
NO_MATTER_TO_DESCRIPTORS = ("batch_size", "device", "max_pixels", "on_error", "cache", "verbose", "callback")
OF_ALL = "as in ImageFeaturizer, for all searches; default: what each search says"
COLUMNS = ("R@1", "R@2", "R@5", "R@10", "median_rank", "mean_rank", "MRR")
SURENESS = ("hubness", "calibration_error", "brier_score")


def main():
    """Train, ask and tell."""
    arguments = parse_arguments()
    warnings.simplefilter("ignore", UnknownWordsWarning)  # such captions count as queries all the same
    table = Path(arguments.data, f"captions_{arguments.language}.tsv")
    asked = load_captions_table(table, split=arguments.split)
    train = load_train(arguments.data, arguments.train_language or [arguments.language])
    gallery, captions = with_uncaptioned(asked, arguments.data, arguments.split)
    print(
        f"{len(train)} photographs with {sum(map(len, train.captions))} captions to learn from, "
        f"{sum(map(len, captions))} queries, {len(gallery)} photographs to find\n"
    )
    rows = []
    for name in arguments.preset or ["recipe", "default", "best"]:
        search = TextImageSearch.from_preset(name)
        featurizers = choose_featurizers(search.featurizer, arguments)
        search.set_params(featurizer=None)
        D_train = describe(train.photos, featurizers, arguments.cache)
        D_gallery = describe(gallery, featurizers, arguments.cache)
        seconds = time_fit(search, D_train, train.captions)
        report = search.evaluate(D_gallery, captions)
        if not rows:
            rows.append({"name": "chance", **report.chance, **dict.fromkeys(SURENESS), "train_seconds": 0.0})
            print_row(rows[-1], header=True)
        sureness = {key: getattr(report, key) for key in SURENESS}
        rows.append({"name": name, **report.to_dict(), **sureness, "train_seconds": seconds})
        print_row(rows[-1])
        print(f"{'':16}{' + '.join(str(each.backbone) for each in featurizers)}", flush=True)
    if arguments.json:
        rows = [{key: row[key] for key in ("name", *COLUMNS, *SURENESS, "train_seconds")} for row in rows]
        Path(arguments.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def choose_featurizers(featurizer, arguments):
    """Take the featurizers of a search, with the backbones and options that were asked for."""
    several = isinstance(featurizer, FeatureUnion)
    featurizers = [each for _, each in featurizer.transformer_list] if several else [featurizer]
    backbones = arguments.backbone or ([] if several else [BACKBONE])
    if backbones:
        featurizers = [clone(featurizers[0]).set_params(backbone=each) for each in backbones]
    given = {name: getattr(arguments, name) for name in OPTIONS if getattr(arguments, name) is not None}
    return [each.set_params(**given, verbose=1) for each in featurizers]


def time_fit(search, descriptors, captions):
    """Train; where that takes less than ten seconds, three times, and give the median time."""
    times = []
    while not times or (times[0] < 10 and len(times) < 3):
        start = time.perf_counter()
        search.fit(descriptors, captions)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="folder with images/ and captions_LANGUAGE.tsv")
    parser.add_argument("--split", default="dev", help="split to ask about")
    parser.add_argument("--language", default="en", help="language of the queries")
    parser.add_argument("--train-language", action="append", help="default: that of the queries; repeatable")
    parser.add_argument(
        "--backbone", action="append", help=f"default: {BACKBONE}, or what the search names; repeatable"
    )
    for name in ("layers", "pooling", "framing"):
        parser.add_argument(f"--{name}", nargs="+", help=OF_ALL)
    parser.add_argument("--resolution", type=int, help=OF_ALL)
    parser.add_argument("--mirrored", action=argparse.BooleanOptionalAction, help=OF_ALL)
    parser.add_argument("--preset", action="append", help="default: recipe, default and best; repeatable")
    parser.add_argument("--cache", help="folder that keeps descriptors between runs")
    parser.add_argument("--json", help="file to write the rows to")
    return parser.parse_args()


def load_train(data, languages):
    """Load the split train, with the captions of all languages."""
    merged = None
    for language in languages:
        captioned = load_captions_table(Path(data, f"captions_{language}.tsv"), split="train")
        merged = captioned if merged is None else merged.merged_with(captioned)
    return merged


def with_uncaptioned(asked, data, split):
    """Add the photographs of the split that have captions in other languages only, without captions."""
    known = set(asked.photos)
    photos, captions = list(asked.photos), list(asked.captions)
    for table in sorted(Path(data).glob("captions_*.tsv")):
        with open(table, encoding="utf-8", newline="") as stream:
            splits = {row["split"] for row in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)}
        others = load_captions_table(table, split=split).photos if split in splits else []
        photos += [photo for photo in others if photo not in known]
        known.update(others)
    return photos, captions + [[]] * (len(photos) - len(captions))


def describe(photos, featurizers, cache):
    """Describe photographs by all featurizers side by side, each at length 1."""
    return np.hstack([describe_by_one(photos, featurizer, cache) for featurizer in featurizers])


def describe_by_one(photos, featurizer, cache):
    """Describe photographs, or read from the cache those of the same content described before."""
    if cache is None:
        return featurizer.transform(photos)
    file = cache_file(featurizer, cache)
    known = {}
    if file.exists():
        with np.load(file) as kept:
            known = dict(zip(kept["keys"].tolist(), kept["descriptors"]))
    keys = [hashlib.sha256(Path(photo).read_bytes()).hexdigest() for photo in photos]
    new = {key: photo for key, photo in zip(keys, photos) if key not in known}
    if new:
        known.update(zip(new, featurizer.transform(list(new.values()))))
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part.npz")
        np.savez(part, keys=np.array(list(known)), descriptors=np.array(list(known.values())))
        part.replace(file)
    return np.array([known[key] for key in keys])


def cache_file(featurizer, cache):
    """Name the file of the cache after everything that the descriptors depend on."""
    parameters = {
        key: value for key, value in featurizer.get_params().items() if key not in NO_MATTER_TO_DESCRIPTORS
    }
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()
    return Path(cache, f"{featurizer.backbone}-{digest[:16]}.npz")


def print_row(row, header=False):
    """Print one line of the table, recall in percent."""
    columns = (*COLUMNS, *SURENESS, "train_seconds")
    if header:
        print(f"{'':16}" + "".join(f"{column.replace('calibration', 'cal.'):>12}" for column in columns))
    values = [row[column] for column in columns]
    values = [100 * v if c.startswith("R@") else v for c, v in zip(columns, values)]
    cells = "".join(f"{'':12}" if value is None else f"{value:12.3g}" for value in values)
    print(f"{row['name']:16}{cells}", flush=True)


if __name__ == "__main__":
    main()
