"""
Like this one, but in the snow
==============================

Sometimes a photograph says best what is meant, but for one thing. Sentences and
photographs may be added and subtracted.
"""

# %%
# Learn from drawn scenes, and take others into the gallery.
from txt2img import ImageFeaturizer, TextImageSearch, TextToVisualRegressor
from txt2img.datasets import make_captioned_scenes

scenes, captions = make_captioned_scenes(500, 5, size=(160, 120), random_state=0)
featurizer = ImageFeaturizer(
    "efficientnet_lite0",
    framing="whole",
    layers=("middle", "last"),
    pooling=("mean", "max"),
    resolution=128,
)
search = TextImageSearch(
    featurizer, regressor=TextToVisualRegressor(), calibration_share=None
)
search.fit(scenes[:300], captions[:300])
search.add(scenes[300:], ids=range(300, 500))

# %%
# A photograph finds itself first, then what is like it. With a sentence added, it is
# asked for what is like it *and* as the sentence says.
from txt2img.evaluation import contact_sheet
from txt2img.search import Query

this = Query.photograph(scenes[305])
questions = {
    "Like this one": this,
    "Like this one, in the snow": this + 2 * Query("in the snow"),
    "Like this one, on a beach": this + 2 * Query("on a beach"),
}


def rows(questions):
    """Answer each question."""
    return [
        (
            name,
            [
                (scenes[hit.id], f"{hit.score:.2f}", None)
                for hit in search.query(query, k=5)
            ],
        )
        for name, query in questions.items()
    ]


contact_sheet(rows(questions))

# %%
# What is not wanted is subtracted, best with half the weight of what is wanted. It is
# a push and not a filter: what looks like it comes later.
contact_sheet(
    rows(
        {
            "A boat": Query("a boat"),
            "A boat, rather not in the water": Query("a boat")
            - 0.5 * Query("in the water"),
            "A tree": Query("a tree"),
            "A tree, rather without a boat": Query("a tree") - 0.5 * Query("a boat"),
        }
    )
)

# %%
# :doc:`/howto/asking` tells how much this was found to help on real photographs, and
# how to ask with several sentences for the same thing.
