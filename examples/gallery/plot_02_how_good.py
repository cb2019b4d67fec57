"""
How good is the search?
=======================

A few answers that look right prove little. Keep some captioned photographs aside, ask
with their captions, and see at which rank the right photograph comes.
"""

# %%
# The photographs of this page are drawn: a few coloured things on grass, sand, water,
# snow or in the night. Five captions tell a part of each scene, so that many captions
# fit several scenes, as with photographs.
from txt2img.datasets import make_captioned_scenes
from txt2img.evaluation import contact_sheet

scenes, captions = make_captioned_scenes(400, 5, size=(160, 120), random_state=0)
contact_sheet(
    [("Five of 400 scenes", [(scenes[i], captions[i][0], None) for i in range(5)])]
)

# %%
# Learn from the first 300. The other 100 are never shown to ``fit``.
from txt2img import ImageFeaturizer, TextImageSearch

featurizer = ImageFeaturizer(
    "efficientnet_lite0",
    framing="whole",
    layers=("middle", "last"),
    pooling=("mean", "max"),
    resolution=128,
)
search = TextImageSearch(featurizer)
search.fit(scenes[:300], captions[:300])

# %%
# Every caption of the other 100 is a question, and one scene is its right answer.
# What comes first by chance is right once in a hundred times.
report = search.evaluate(scenes[300:], captions[300:])
print(report)

# %%
# The interval says how far recall may be off because these 100 scenes were asked for
# and not others. The histogram shows the ranks behind the figures. Half of the
# questions find their scene among the very first; and a few find it late, which the
# median hides and the mean tells.
report.plot()

# %%
# How many photographs must one look at? The curve gives recall for every number.
from txt2img.evaluation import RecallCurveDisplay

RecallCurveDisplay.from_report(report, name="search")

# %%
# What is wrong when it is wrong? Here are questions whose scene came late, with what
# came instead; the right scene is framed in green, last in its row. Often the caption
# fits the others as well: that is no fault of the search, and the reason why nobody
# reaches 100 %.
import numpy as np

search.add(scenes[300:], ids=range(300, 400))
questions = [(caption, i) for i in range(300, 400) for caption in captions[i]]
rows = []
for worst in np.argsort(-report.ranks)[:3]:
    question, right = questions[worst]
    hits = [hit.id for hit in search.query(question, k=4)]
    labels = [f"rank {rank}" for rank in range(1, 5)] + [
        f"rank {report.ranks[worst]:.0f}"
    ]
    rows.append(
        (
            question,
            [
                (scenes[i], label, i == right)
                for i, label in zip([*hits, right], labels)
            ],
        )
    )
contact_sheet(rows)
