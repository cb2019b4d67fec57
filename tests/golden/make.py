"""Make the saved search that every later version must read; run once for each format of a release.

python tests/golden/make.py tests/golden/format_1
"""

import json
import sys
from pathlib import Path

from txt2img import TextImageSearch
from txt2img.datasets import make_captioned_descriptors


def make(folder):
    """Save a search of small descriptors, and beside it what it answers."""
    captions, descriptors = make_captioned_descriptors(48, 2, n_features=12, random_state=0)
    search = TextImageSearch(calibration_share=0.45).fit(descriptors, captions)
    search.add(
        descriptors[:20],
        ids=[f"photographs/ñ {i}.jpg" for i in range(20)],
        metadata={"year": [2000 + i for i in range(20)], "place": ["Lima", "Quito"] * 10},
    )
    search.remove(["photographs/ñ 3.jpg"]).save(folder / "search")
    (folder / "search" / "manifest.json.lock").unlink()
    queries = [own[0] for own in captions[:8]]
    answers = {
        "queries": queries,
        "hits": [[[hit.id, hit.score] for hit in hits] for hits in search.query(queries, k=6)],
        "lima": [hit.id for hit in search.query(queries[0], k=3, where={"place": "Lima"})],
        "described": [word.text for word in search.describe(descriptors[:1], k=3)[0]],
    }
    (folder / "answers.json").write_text(json.dumps(answers, indent=1), encoding="utf-8")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
