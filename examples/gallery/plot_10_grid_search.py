"""
Choose parameters by cross-validation
=====================================

How strong should the penalty of the map be, and how far should descriptors be whitened?
Every part is a scikit-learn estimator, and so a grid search may tell.
"""

# %%
# Describe the photographs once, and list all captions with the photograph of each.
import numpy as np

from txt2img import ImageFeaturizer
from txt2img.datasets import make_captioned_scenes

scenes, captions = make_captioned_scenes(300, 5, random_state=0)
descriptors = ImageFeaturizer(
    "efficientnet_lite0",
    framing="whole",
    layers=("middle", "last"),
    pooling=("mean", "max"),
    resolution=128,
).fit_transform(scenes)
sentences = [caption for own in captions for caption in own]
photograph = np.repeat(np.arange(300), 5)

# %%
# Captions of one photograph must stay in one fold, or the search would be asked for
# photographs that it has learned from: ``GroupKFold`` sees to that. What is searched
# are the photographs of the fold. The whitener makes the targets, which a grid cannot
# reach, so there is one grid for each of its exponents.
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline

from txt2img import CaptionVectorizer, DescriptorWhitener, TextToVisualRegressor
from txt2img.evaluation import recall_at_5

alphas = np.logspace(-1, 3, 6)
grids = {}
for exponent in (0, 0.5, 1):
    targets = DescriptorWhitener(exponent=exponent).fit_transform(descriptors)
    grid = GridSearchCV(
        make_pipeline(CaptionVectorizer(), TextToVisualRegressor()),
        {"texttovisualregressor__alpha": alphas},
        scoring=recall_at_5,
        cv=GroupKFold(3),
    )
    grids[exponent] = grid.fit(sentences, targets[photograph], groups=photograph)

# %%
# The band is the spread over the folds.
from matplotlib import pyplot as plt

figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
names = {0: "not whitened", 0.5: "half whitened", 1: "fully whitened"}
for (exponent, grid), colour in zip(grids.items(), ("#d08c60", "#33658a", "#5b8e7d")):
    mean = 100 * grid.cv_results_["mean_test_score"]
    spread = 100 * grid.cv_results_["std_test_score"]
    ax.plot(alphas, mean, color=colour, linewidth=2, marker="o", label=names[exponent])
    ax.fill_between(
        alphas, mean - spread, mean + spread, color=colour, alpha=0.15, linewidth=0
    )
ax.set_xscale("log")
ax.set_xlabel("strength of the penalty, alpha")
ax.set_ylabel("recall@5 among the 100 scenes of a fold (%)")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)

# %%
# The strength hardly matters over two powers of ten, and whitening does. Whitened
# halfway, the few directions that all photographs vary in no longer drown the others.
# Whitened fully, hundreds of directions that hold nothing but noise get the same say,
# and of the search little more than chance is left, which is 5 %.
for exponent, grid in grids.items():
    alpha = grid.best_params_["texttovisualregressor__alpha"]
    print(f"{names[exponent]:15} alpha {alpha:6.1f}  recall@5 {grid.best_score_:.1%}")
