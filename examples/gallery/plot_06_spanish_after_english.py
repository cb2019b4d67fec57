"""
Learn from English captions, ask in Spanish
===========================================

The captions are English, and people ask in Spanish. Must the captions be translated?
"""

# %%
# Not if sentences go through a multilingual encoder, for which *a red boat* and *un
# barco rojo* are nearly the same. The preset ``"cross_language"`` relies on it alone.
# The scenes of one random state have captions in both languages; it learns from the
# English ones.
from txt2img import ImageFeaturizer, TextImageSearch, TextToVisualRegressor
from txt2img.datasets import make_captioned_scenes

scenes, english = make_captioned_scenes(400, 5, size=(160, 120), random_state=0)
_, spanish = make_captioned_scenes(
    400, 5, size=(160, 120), language="es", random_state=0
)

featurizer = ImageFeaturizer(
    "efficientnet_lite0",
    framing="whole",
    layers=("middle", "last"),
    pooling=("mean", "max"),
    resolution=128,
)
descriptors = featurizer.fit_transform(scenes)
search = TextImageSearch.from_preset(
    "cross_language",
    featurizer=featurizer,
    regressor=TextToVisualRegressor(),
    calibration_share=None,
)
search.fit(descriptors[:300], english[:300])

# %%
# Ask for scenes that it has not seen, in a language that it was not taught:
from txt2img.evaluation import contact_sheet

search.add(descriptors[300:], ids=range(300, 400))
questions = [
    "un barco en el mar",
    "una casa en la nieve",
    "un coche de noche",
    "un pez",
]
contact_sheet(
    [
        (
            question,
            [
                (scenes[hit.id], f"{hit.score:.2f}", None)
                for hit in search.query(question, k=5)
            ],
        )
        for question in questions
    ]
)

# %%
# How much is lost? The same 100 scenes, asked for in both languages, and in Spanish
# by a search that knows no more than the words of English captions:
from txt2img import CaptionVectorizer
from txt2img.evaluation import RecallComparisonDisplay

words = TextImageSearch(
    vectorizer=CaptionVectorizer(),
    regressor=TextToVisualRegressor(),
    calibration_share=None,
)
words.fit(descriptors[:300], english[:300])
RecallComparisonDisplay.from_reports(
    {
        "asked in English": search.evaluate(descriptors[300:], english[300:]),
        "asked in Spanish": search.evaluate(descriptors[300:], spanish[300:]),
        "asked in Spanish, words alone": words.evaluate(
            descriptors[300:], spanish[300:]
        ),
    }
)

# %%
# Something is lost, and most is kept. Words alone know no Spanish, and find what
# chance finds. :doc:`/howto/another_language` goes on from here.
