"""
What is in my album?
====================

Before asking for anything one may want to see what there is. A map of the gallery puts
photographs that are alike beside one another.
"""

# %%
# An album needs more than the 18 photographs that come with the packages, so let ten
# details of each be the photographs.
import numpy as np
from PIL import Image

from txt2img.datasets import load_sample_photographs

rng = np.random.default_rng(0)


def detail(photo):
    """Cut a square out of a photograph."""
    side = int(min(photo.size) * rng.uniform(0.35, 0.7))
    left, top = (
        rng.integers(0, photo.width - side),
        rng.integers(0, photo.height - side),
    )
    return photo.crop((left, top, left + side, top + side))


album = []
for path in load_sample_photographs().photos:
    with Image.open(path) as photo:
        album += [detail(photo.convert("RGB")) for _ in range(10)]

# %%
# Their descriptors are brought to two dimensions by t-SNE, and the photographs then
# to the squares of a grid, each as near to its place as can be. Nothing was learned
# but what the image network knows.
from txt2img import ImageFeaturizer
from txt2img.evaluation import GalleryMapDisplay

featurizer = ImageFeaturizer("efficientnet_lite0").fit(album)
descriptors = featurizer.transform(album)
GalleryMapDisplay.from_descriptors(descriptors, album)

# %%
# What is near on the map is alike: the details of one photograph have found one
# another, and textures lie with textures. Distances across the map mean little, for
# two dimensions cannot hold them.
#
# Any transformer to two dimensions may take the place of t-SNE. Principal components
# keep the great directions, here from things to textures, and mix what differs
# otherwise:
from sklearn.decomposition import PCA

GalleryMapDisplay.from_descriptors(descriptors, album, projection=PCA(2))
