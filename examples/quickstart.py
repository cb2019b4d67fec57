"""Type what you see, in Spanish or English, and find the photograph that nobody captioned.

    python examples/quickstart.py                      # the photographs inside scikit-image and scikit-learn
    python examples/quickstart.py --photos ~/Pictures  # your own
    python examples/quickstart.py --photos ~/Pictures --captions captions.tsv

Without captions the search knows only the names of the classes that its image network was trained on. With
--captions it learns from captioned photographs first: a table with the columns image and caption, COCO's
json, Flickr's token file, or a folder with a .txt beside each photograph.
"""

import argparse
import sys
import time
from pathlib import Path

from txt2img import ImageFeaturizer, TextImageSearch
from txt2img.datasets import load_captions, load_sample_photographs
from txt2img.evaluation import contact_sheet
from txt2img.images import list_photographs

BACKBONE = "efficientnet_lite2"

# Each question beside the names of the sample photographs that answer it.
QUERIES = {
    "un gato": {"chelsea"},
    "una taza de café": {"coffee"},
    "un cohete antes de despegar": {"rocket"},
    "una motocicleta roja": {"motorcycle_left"},
    "una flor naranja": {"flower"},
    "un templo chino": {"china"},
    "una mujer astronauta": {"astronaut"},
    "monedas antiguas": {"coins"},
    "un fotógrafo con su cámara": {"camera"},
    "galaxias y estrellas": {"hubble_deep_field"},
    "la superficie de la luna": {"moon"},
    "apuntes escritos a mano": {"text"},
    "a cat": {"chelsea"},
    "a cup of coffee": {"coffee"},
    "a rocket before take-off": {"rocket"},
    "a red motorcycle": {"motorcycle_left"},
    "an orange flower": {"flower"},
    "a Chinese temple": {"china"},
    "a woman astronaut": {"astronaut"},
    "ancient coins": {"coins"},
    "a photographer with his camera": {"camera"},
    "galaxies and stars": {"hubble_deep_field"},
    "the surface of the moon": {"moon"},
    "handwritten notes": {"text"},
}


def main():
    """Build the search, ask, and show the answers."""
    arguments = parse_arguments()
    start = time.perf_counter()
    photos = list_photographs(arguments.photos) if arguments.photos else load_sample_photographs().photos
    search = train(arguments.captions) if arguments.captions else TextImageSearch.from_class_names(BACKBONE)
    search.add(photos)
    print(f"{len(search)} photographs to search, ready after {time.perf_counter() - start:.1f} s\n")
    answers = {query: search.query(query, k=min(5, len(search))) for query in arguments.query or QUERIES}
    right = {} if arguments.photos or arguments.query else QUERIES
    print_answers(answers, right)
    if right:
        print_recall(search)
    shown = list(answers)[:6] + list(answers)[-6:] if right else answers
    save_sheet({query: answers[query] for query in shown}, right, arguments.sheet)
    print(f"\nThe answers as pictures: {arguments.sheet}   ({time.perf_counter() - start:.1f} s in all)")


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", help="folder to search; default: the sample photographs")
    parser.add_argument("--captions", help="captioned photographs to learn from first")
    parser.add_argument("--query", action="append", help="what to ask; repeatable; default: 24 questions")
    parser.add_argument("--sheet", default="quickstart.png", help="picture to write; default: %(default)s")
    return parser.parse_args()


def train(captions):
    """Learn from captioned photographs."""
    captioned = load_captions(captions)
    print(f"Learning from {len(captioned)} captioned photographs")
    rich = ImageFeaturizer(
        BACKBONE, framing="whole", layers=("middle", "last"), pooling=("mean", "max"), verbose=1
    )
    search = TextImageSearch.from_preset("best", featurizer=rich)
    return search.fit(captioned.photos, captioned.captions)


def print_answers(answers, right):
    """Print the best photographs of each query with rank and score, and a star at a right one."""
    for query, hits in answers.items():
        print(query)
        for hit in hits[:3]:
            star = "*" if Path(hit.id).stem in right.get(query, ()) else " "
            print(f"  {star} {hit.rank}. {hit.score:+.3f}  {Path(hit.id).name}")
    if right:
        first = sum(Path(hits[0].id).stem in right[query] for query, hits in answers.items())
        print(f"\nA right photograph first: {first} of {len(answers)} queries ({first / len(answers):.0%})")


def print_recall(search):
    """Print recall over the sentences written for the sample photographs, by language."""
    print(f"\n{'Sentences of the samples':26}{'queries':>8}{'recall@1':>10}{'recall@3':>10}{'by chance':>11}")
    for language, name in (("es", "Spanish"), ("en", "English")):
        samples = load_sample_photographs(language)
        report = search.evaluate(samples.photos, samples.captions, ks=(1, 3))
        figures = (report.recall_at(1), report.recall_at(3), report.chance["R@1"])
        print(f"{name:26}{report.n_queries:8}" + "{:10.0%}{:10.0%}{:11.0%}".format(*figures))


def save_sheet(answers, right, path):
    """Save the answers as a sheet of thumbnails."""
    rows = [
        (
            query,
            [
                (
                    hit.id,
                    f"{hit.rank}.  {hit.score:+.2f}",
                    Path(hit.id).stem in right[query] if right else None,
                )
                for hit in hits
            ],
        )
        for query, hits in answers.items()
    ]
    contact_sheet(rows, path, title="Asked, and found")


if __name__ == "__main__":
    sys.exit(main())
