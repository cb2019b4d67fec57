"""What is each part worth? Each added alone to a plain search, and each taken alone from the best one.

    python benchmarks/ablation.py --data DIR --split dev --language en --cache CACHE --json out.json

DIR is as for retrieval_quality.py. The plain search is ridge regression from TF-IDF of words to centred
descriptors of the last layer of one backbone, and the cosine. Whatever draws random numbers is run with
several seeds, and a query counts by the share of seeds with which its photograph was found. The intervals
are of the difference to the first row of each half, 95 %, by a bootstrap over photographs, whose captions
are drawn together.
"""

import argparse
import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
from retrieval_quality import describe, load_train, with_uncaptioned
from sklearn.pipeline import FeatureUnion
from sklearn.preprocessing import normalize

from txt2img import DescriptorWhitener, ImageIndex, SentenceVectorizer, TextImageSearch
from txt2img.datasets import load_captions_table
from txt2img.evaluation import bootstrap_means
from txt2img.exceptions import UnknownWordsWarning
from txt2img.search.presets import PRESETS

PARTS = {
    "middle layer": "the middle layer of the backbone beside the last",
    "maximum": "pooling by the maximum beside the mean",
    "more backbones": "all backbones of the preset side by side",
    "whitening": "whitening halfway",
    "meaning": "the embedding of the sentence beside the words",
    "contrastive": "the contrastive maps of the preset beside ridge",
    "hubs": "correction of hubs by the inverted softmax",
}
KS = (1, 5, 10)


def main():
    """Train, ask and tell."""
    arguments = parse_arguments()
    warnings.simplefilter("ignore", UnknownWordsWarning)
    table = Path(arguments.data, f"captions_{arguments.language}.tsv")
    asked = load_captions_table(table, split=arguments.split)
    train = load_train(arguments.data, [arguments.language])
    gallery, captions = with_uncaptioned(asked, arguments.data, arguments.split)
    photograph = [i for i, own in enumerate(captions) for _ in own]
    seen = [
        (describe(train.photos, [each], arguments.cache), describe(gallery, [each], arguments.cache), each)
        for _, each in PRESETS["best"]()["featurizer"].transformer_list
    ]
    encoder = remember(SentenceVectorizer(), [s for own in (*train.captions, *captions) for s in own])

    @cache
    def found(parts):
        """Share of seeds with which the photograph of each query is among the first k, for each of KS."""
        D_train, D_gallery = choose_columns(seen, parts)
        n_seeds = arguments.seeds if "contrastive" in parts else 1
        shares = 0
        for seed in range(n_seeds):
            search = build(parts, seed, encoder).fit(D_train, train.captions)
            ranks = search.evaluate(D_gallery, captions).ranks
            shares = shares + (ranks[:, None] <= KS) / n_seeds
        return shares

    rows = []
    for start, sign in ((frozenset(), "+"), (frozenset(PARTS), "-")):
        rows.append(tell({"row": "best" if start else "plain"}, found(start)))
        for part in PARTS:
            row = {"row": f"{sign} {part}", "what": PARTS[part]}
            rows.append(tell(row, found(start ^ {part}), found(start), photograph))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="folder with images/ and captions_LANGUAGE.tsv")
    parser.add_argument("--split", default="dev", help="split to ask about")
    parser.add_argument("--language", default="en", help="language of captions and queries")
    parser.add_argument("--seeds", type=int, default=3, help="runs of whatever draws random numbers")
    parser.add_argument("--cache", help="folder that keeps descriptors between runs")
    parser.add_argument("--json", help="file to write the rows to")
    return parser.parse_args()


def remember(vectorizer, sentences):
    """Make of a vectorizer an encoder that has the vectors of these sentences ready."""
    sentences = sorted(set(sentences))
    vectors = vectorizer.fit_transform(sentences)
    row_of = {sentence: row for row, sentence in enumerate(sentences)}
    return lambda asked: vectors[[row_of[sentence] for sentence in asked]]


def choose_columns(seen, parts):
    """Take the layers, poolings and backbones of the parts out of descriptors that have them all."""
    backbones = seen if "more backbones" in parts else seen[:1]
    sides = []
    for side in (0, 1):
        chosen = []
        for *descriptors, featurizer in backbones:
            widths = featurizer.fit(["not read"]).part_widths_
            blocks = iter(np.split(descriptors[side], np.cumsum(widths)[:-1], axis=1))
            for layer in featurizer.layers:
                for pooling in featurizer.pooling:
                    block = next(blocks)
                    if (layer == "last" or "middle layer" in parts) and (
                        pooling == "mean" or "maximum" in parts
                    ):
                        chosen.append(normalize(block))
        sides.append(np.hstack(chosen))
    return sides


def build(parts, seed, encoder):
    """Put a search together from the parts."""
    best = PRESETS["best"]()
    (_, words), (_, meaning) = best["vectorizer"].transformer_list
    maps = best["regressor"]
    contrastive = [name for name, each in maps.estimators if each.solver == "network"]
    (ridge,) = (each for name, each in maps.estimators if name not in contrastive)
    for i, name in enumerate(contrastive):
        maps.set_params(**{f"{name}__random_state": 10 * seed + i})
    vectorizer = words
    if "meaning" in parts:
        vectorizer = FeatureUnion([("words", words), ("meaning", meaning.set_params(encoder=encoder))])
    return TextImageSearch(
        whitener=best["whitener"] if "whitening" in parts else DescriptorWhitener(exponent=0),
        vectorizer=vectorizer,
        regressor=maps if "contrastive" in parts else ridge,
        index=best["index"] if "hubs" in parts else ImageIndex(),
        calibration_share=None,
    )


def tell(row, shares, reference=None, photograph=None):
    """Print one line of the table in per cent, and return it."""
    row |= {f"R@{k}": float(share) for k, share in zip(KS, shares.mean(axis=0))}
    line = f"{row['row']:18}" + "".join(f"{100 * row[f'R@{k}']:8.1f}" for k in KS)
    if reference is not None:
        means = bootstrap_means(shares - reference, photograph, n_resamples=1000, random_state=0)
        low, high = np.quantile(means, (0.025, 0.975), axis=0)
        for i, k in enumerate(KS):
            row |= {f"R@{k} difference": [float(low[i]), float(high[i])]}
            line += f"    {100 * low[i]:+5.1f} to {100 * high[i]:+5.1f}"
    print(line, flush=True)
    return row


if __name__ == "__main__":
    main()
