"""Whole searches that go by name."""

from sklearn.kernel_ridge import KernelRidge
from sklearn.pipeline import FeatureUnion

from txt2img.captions import CaptionVectorizer, SentenceVectorizer
from txt2img.images import DescriptorWhitener, ImageFeaturizer
from txt2img.mapping import TextToVisualRegressor
from txt2img.search.index import ImageIndex


def default_parts():
    """TF-IDF of all words, ridge on half-whitened descriptors, cosine with hubness correction."""
    return {
        "featurizer": ImageFeaturizer(),
        "whitener": DescriptorWhitener(),
        "vectorizer": CaptionVectorizer(),
        "regressor": TextToVisualRegressor(),
        "index": ImageIndex(hubness="csls"),
    }


def recipe_parts():
    """Build the recipe that this library started from.

    It leaves the size of a batch open. Small batches take more steps in ten epochs, and the network then
    learns its captions by heart: 1,024 keeps the baseline from being weaker than it need be.
    """
    return {
        "featurizer": ImageFeaturizer("resnet152"),
        "whitener": "passthrough",
        "vectorizer": CaptionVectorizer(min_df=2, max_df=0.1),
        "regressor": TextToVisualRegressor(
            solver="network", hidden=2048, epochs=10, batch_size=1024, random_state=0
        ),
        "index": ImageIndex("euclidean"),
    }


def best_parts():
    """As the default, with the embedding of the sentence beside the TF-IDF of its words."""
    words_and_meaning = FeatureUnion([("words", CaptionVectorizer()), ("meaning", SentenceVectorizer())])
    return default_parts() | {"vectorizer": words_and_meaning}


def class_names_parts():
    """Kernel ridge from sentence embeddings, for the few and short texts that class names are.

    The descriptors of the classes are whitened already, so that the whitener only drops the directions in
    which no two classes differ.
    """
    return {
        "featurizer": ImageFeaturizer("efficientnet_lite2", framing="whole"),
        "whitener": DescriptorWhitener(n_components=None, exponent=0),
        "vectorizer": SentenceVectorizer(),
        "regressor": KernelRidge(kernel="rbf", gamma=5 / 3, alpha=0.1),
        "index": ImageIndex(hubness="csls"),
    }


PRESETS = {
    "default": default_parts,
    "recipe": recipe_parts,
    "best": best_parts,
    "class_names": class_names_parts,
}
