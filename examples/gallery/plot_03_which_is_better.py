"""
Which of two searches is better?
================================

Two searches are evaluated on the same photographs, and one has the higher recall. Is it
better, or was it lucky with these photographs?
"""

# %%
# Both learn from the same 300 scenes. One searches the descriptors as the image
# network gives them; the other whitens them halfway, so that the few directions in
# which all photographs vary do not drown the others.
from txt2img import ImageFeaturizer, TextImageSearch, TextToVisualRegressor
from txt2img.datasets import make_captioned_scenes

scenes, captions = make_captioned_scenes(400, 5, random_state=0)
featurizer = ImageFeaturizer("efficientnet_lite0", framing="whole", resolution=128)
descriptors = featurizer.fit_transform(scenes)

reports = {}
for name, whitener in {"as they are": "passthrough", "half whitened": None}.items():
    search = TextImageSearch(
        whitener=whitener, regressor=TextToVisualRegressor(), calibration_share=None
    )
    search.fit(descriptors[:300], captions[:300])
    reports[name] = search.evaluate(descriptors[300:], captions[300:])

# %%
# Side by side, each with its 95 % interval and, dashed, the level of chance:
from txt2img.evaluation import RecallComparisonDisplay

RecallComparisonDisplay.from_reports(reports, ks=(1, 2, 5, 10))

# %%
# Some intervals overlap. That does not mean that the difference may be nothing: both
# were asked the same questions, and a hard question is hard for both. So look at the
# *difference*, which is taken question by question, with photographs drawn anew, each
# with all its captions.
from txt2img.evaluation import compare

table = compare(*reports.values(), names=tuple(reports))
table

# %%
# Where the interval of the difference does not reach zero, the second search is
# better for photographs of this kind.
import numpy as np
from matplotlib import pyplot as plt

recall = [row for row, name in enumerate(table["figure"]) if name.startswith("R@")]
gain, low, high = (
    100 * np.array(table[name])[recall] for name in ("difference", "low", "high")
)
figure, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
ax.hlines(recall, low, high, color="#33658a", linewidth=3)
ax.plot(gain, recall, "o", color="#33658a", markersize=9)
ax.axvline(0, color="#8a9099", linestyle="--")
ax.set_yticks(recall, [table["figure"][row] for row in recall])
ax.invert_yaxis()
ax.margins(y=0.15)
ax.set_xlabel("points that whitening gains")
ax.spines[["top", "right", "left"]].set_visible(False)
