"""
A word that no caption holds
============================

The captions speak of *boats*, *cars* and *trees*. What happens when somebody asks for a
*sailboat*, an *automobile* or a *pine*?
"""

# %%
# Two searches learn from the same scenes: one knows the words of the captions, and
# nothing else; the other has the embedding of the whole sentence beside them, by an
# encoder that knows many more words.
from sklearn.pipeline import make_union

from txt2img import (
    CaptionVectorizer,
    ImageFeaturizer,
    SentenceVectorizer,
    TextImageSearch,
    TextToVisualRegressor,
)
from txt2img.datasets import make_captioned_scenes

scenes, captions = make_captioned_scenes(500, 5, size=(160, 120), random_state=0)
featurizer = ImageFeaturizer(
    "efficientnet_lite0",
    framing="whole",
    layers=("middle", "last"),
    pooling=("mean", "max"),
    resolution=128,
)
descriptors = featurizer.fit_transform(scenes)

searches = {
    "words": CaptionVectorizer(),
    "words and meaning": make_union(CaptionVectorizer(), SentenceVectorizer()),
}
for name, vectorizer in searches.items():
    search = TextImageSearch(
        vectorizer=vectorizer, regressor=TextToVisualRegressor(), calibration_share=None
    )
    search.fit(descriptors[:300], captions[:300])
    searches[name] = search.add(descriptors[300:], ids=range(300, 500))

# %%
# None of these words is in any caption:
questions = ["sailboat", "automobile", "pine"]
seen = {word for own in captions for caption in own for word in caption.split()}
assert seen.isdisjoint(questions)

# %%
# The search that knows words alone warns, and then gives the same answer to all of
# them, which means nothing. The other finds what is meant.
import warnings

from txt2img.evaluation import contact_sheet

rows = []
for name, search in searches.items():
    with warnings.catch_warnings(action="ignore"):
        answers = search.query(questions, k=5)
    rows += [
        (
            f"{question} · {name}",
            [(scenes[hit.id], f"{hit.score:.2f}", None) for hit in hits],
        )
        for question, hits in zip(questions, answers)
    ]
contact_sheet(rows)
