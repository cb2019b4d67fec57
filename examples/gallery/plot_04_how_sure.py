"""
How sure is the first answer?
=============================

A search always answers. When is the answer worth showing, and when is it better to say
*nothing found*?
"""

# %%
# ``fit`` sets some captioned photographs aside and finds out from them how scores
# turn into probabilities. Of the 500 drawn scenes 350 are learned from here.
from txt2img import ImageFeaturizer, TextImageSearch, TextToVisualRegressor
from txt2img.datasets import make_captioned_scenes
from txt2img.evaluation import contact_sheet

scenes, captions = make_captioned_scenes(500, 5, size=(160, 120), random_state=0)
featurizer = ImageFeaturizer(
    "efficientnet_lite0",
    framing="whole",
    layers=("middle", "last"),
    pooling=("mean", "max"),
    resolution=128,
)
descriptors = featurizer.fit_transform(scenes)
search = TextImageSearch(regressor=TextToVisualRegressor())
search.fit(descriptors[:350], captions[:350])
search.add(descriptors[350:], ids=range(350, 500))

# %%
# Two captions of the same scene. One tells much, and the search is fairly sure of its
# answer; the other fits many scenes, and the search knows that.
report = search.evaluate(descriptors[350:], captions[350:])
confidence = report.confidence.reshape(150, 5)
scene = (confidence.max(axis=1) - confidence.min(axis=1)).argmax()
sure, unsure = confidence[scene].argmax(), confidence[scene].argmin()

rows = []
for question in (captions[350 + scene][sure], captions[350 + scene][unsure]):
    hits = search.query(question, k=5)
    rows.append(
        (
            question,
            [
                (scenes[hit.id], f"{hit.probability:.0%}", hit.id == 350 + scene)
                for hit in hits
            ],
        )
    )
contact_sheet(rows)

# %%
# Do the probabilities come true? Of the answers that are called 60 % sure, about 60 %
# should be right. Below the diagonal the search is surer than it should be; the lines
# are 95 % intervals, and wide where there are few answers.
from txt2img.evaluation import CalibrationCurveDisplay

CalibrationCurveDisplay.from_report(report)

# %%
# So a cut-off can be chosen by what it costs. The higher it is, the fewer questions
# are answered, and the more of the answers are right.
import numpy as np
from matplotlib import pyplot as plt

least = np.linspace(0, 0.7, 50)
answered = np.array([(report.confidence >= each).mean() for each in least])
right = [report.first_is_right[report.confidence >= each].mean() for each in least]

figure, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
ax.plot(
    100 * least,
    100 * answered,
    color="#d08c60",
    linewidth=2,
    label="questions answered",
)
ax.plot(
    100 * least,
    100 * np.array(right),
    color="#33658a",
    linewidth=2,
    label="answers right",
)
ax.set_xlabel("show answers of at least this probability (%)")
ax.set_ylabel("%")
ax.set_ylim(0, 100)
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)

# %%
# A low probability is a reason for doubt; a high one is no proof. Probabilities
# presuppose that the photograph is in the gallery: :doc:`/howto/how_sure` shows what
# happens if not.
