"""
Which of two searches is better?
================================

Two searches are evaluated on the same photographs, and one has the higher recall. Is it
better, or was it lucky with these photographs?
"""

# %%
# Both learn from the same 300 scenes. One looks at the last layer of the image
# network, as most do; the other at a layer in the middle too.
from txt2img import ImageFeaturizer, TextImageSearch, TextToVisualRegressor
from txt2img.datasets import make_captioned_scenes

scenes, captions = make_captioned_scenes(400, 5, size=(160, 120), random_state=0)
layers = {"last layer": ("last",), "two layers": ("middle", "last")}

reports = {}
for name, some in layers.items():
    featurizer = ImageFeaturizer(
        "efficientnet_lite0", framing="whole", layers=some, resolution=128
    )
    search = TextImageSearch(
        featurizer, regressor=TextToVisualRegressor(), calibration_share=None
    )
    search.fit(scenes[:300], captions[:300])
    reports[name] = search.evaluate(scenes[300:], captions[300:])

# %%
# Side by side, each with its 95 % interval and, dashed, the level of chance:
from txt2img.evaluation import RecallComparisonDisplay

RecallComparisonDisplay.from_reports(reports, ks=(1, 2, 5, 10))

# %%
# The intervals overlap. That does not mean that the difference may be nothing: both
# were asked the same questions, and a hard question is hard for both. So look at the
# *difference* for each question, and draw photographs anew, each with all its
# captions.
import numpy as np

from txt2img.evaluation import bootstrap_means

one, two = reports.values()
ks = (1, 2, 5, 10)
gain = np.column_stack([(two.ranks <= k) * 1.0 - (one.ranks <= k) for k in ks])
drawn = bootstrap_means(gain, one.true_ids, random_state=0)
low, high = np.quantile(drawn, [0.025, 0.975], axis=0)

# %%
# Where the interval of the difference does not reach zero, the second search is
# better for photographs of this kind.
from matplotlib import pyplot as plt

figure, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
places = np.arange(len(ks))
ax.hlines(places, 100 * low, 100 * high, color="#33658a", linewidth=3)
ax.plot(100 * gain.mean(axis=0), places, "o", color="#33658a", markersize=9)
ax.axvline(0, color="#8a9099", linestyle="--")
ax.set_yticks(places, [f"recall@{k}" for k in ks])
ax.invert_yaxis()
ax.margins(y=0.15)
ax.set_xlabel("points that two layers gain over the last one")
ax.spines[["top", "right", "left"]].set_visible(False)
