"""
Why do some photographs come up for everything?
===============================================

In a space of many dimensions a few points are near to surprisingly many others. Such
*hubs* crowd the answers, whatever is asked. How bad is it, and what can be done?
"""

# %%
# Count for 200 drawn scenes how often each is among the first ten answers, when the
# search is asked for all of them. Once the index ranks by the cosine alone, and once
# it corrects for hubs by the inverted softmax, as it does by default.
from txt2img import ImageFeaturizer, ImageIndex, TextImageSearch, TextToVisualRegressor
from txt2img.datasets import make_captioned_scenes
from txt2img.evaluation import HubnessDisplay

scenes, captions = make_captioned_scenes(500, 5, size=(160, 120), random_state=0)
featurizer = ImageFeaturizer(
    "efficientnet_lite0",
    framing="whole",
    layers=("middle", "last"),
    pooling=("mean", "max"),
    resolution=128,
)
descriptors = featurizer.fit_transform(scenes)
search = TextImageSearch(regressor=TextToVisualRegressor(), calibration_share=None)
search.fit(descriptors[:300], captions[:300])
search.add(descriptors[300:], ids=range(300, 500))

questions = [caption for own in captions[300:] for caption in own]
hubness = HubnessDisplay.from_estimator(search, questions)

# %%
# With ten places for each of as many questions as there are scenes, each scene would
# come up ten times if all were alike. Without the correction many come up once or
# never, and some all the time. The skewness of the counts is the usual measure of it.
#
# These are the greatest hubs of the plain cosine, and how often they come up with it
# and with the correction:
import numpy as np

from txt2img.evaluation import contact_sheet

hubs = np.argsort(-hubness.uncorrected)[:5]
never = np.argsort(hubness.uncorrected)[:5]


def labelled(rows):
    """Put the two counts below each scene."""
    return [
        (
            scenes[300 + i],
            f"{hubness.uncorrected[i]} times, corrected {hubness.counts[i]}",
            None,
        )
        for i in rows
    ]


contact_sheet(
    [
        ("Most often among the first ten", labelled(hubs)),
        ("Never among the first ten", labelled(never)),
    ]
)

# %%
# Is it worth it? The right scene comes up more often, since hubs no longer stand
# before it.
from txt2img.evaluation import RecallCurveDisplay

ax = None
for name, index in (("corrected", None), ("cosine alone", ImageIndex())):
    search.set_params(index=index)
    report = search.evaluate(descriptors[300:], captions[300:])
    display = RecallCurveDisplay.from_report(
        report, name=name, plot_chance_level=ax is not None, ax=ax
    )
    ax = display.ax_

# %%
# The correction is one number for each photograph, so that it costs nothing when
# searching. :doc:`/idea` derives it.
