"""Whole searches that go by name."""

from collections.abc import Callable
from typing import Any

from sklearn.base import clone
from sklearn.kernel_ridge import KernelRidge
from sklearn.pipeline import FeatureUnion

from txt2img.captions import CaptionVectorizer, SentenceVectorizer
from txt2img.images import DescriptorWhitener, ImageFeaturizer
from txt2img.mapping import MapEnsemble, TextToVisualRegressor
from txt2img.search.index import ImageIndex


def default_parts() -> dict[str, Any]:
    """TF-IDF of words; ridge and a contrastive map, their scores averaged; cosine less hubs."""
    return {
        "featurizer": ImageFeaturizer(
            framing="whole", resolution=300, layers=("middle", "last"), pooling=("mean", "max")
        ),
        "whitener": DescriptorWhitener(),
        "vectorizer": CaptionVectorizer(),
        "regressor": MapEnsemble(
            [("ridge", TextToVisualRegressor()), ("contrastive", _contrastive())], random_state=0
        ),
        "index": ImageIndex(hubness="softmax"),
    }


def _contrastive() -> TextToVisualRegressor:
    """Begin at ridge and learn a linear map on both sides; strong dropout and decay keep it from rote."""
    return TextToVisualRegressor(
        "network",
        loss="infonce",
        hidden=None,
        init="ridge",
        dropout=0.6,
        epochs=8,
        batch_size=512,
        learning_rate=6e-4,
        schedule="one_cycle",
        weight_decay=0.3,
        random_state=0,
    )


def recipe_parts() -> dict[str, Any]:
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
        "calibration_share": None,
    }


def best_parts() -> dict[str, Any]:
    """As the default, with three offline backbones, sentence embeddings beside words, and a third map."""
    parts = default_parts()
    sharper = _contrastive().set_params(temperature=0.07, random_state=1)
    resolutions = {"efficientnet_lite2": 300, "efficientnet_lite1": 280, "efficientnet_lite0": 260}
    return parts | {
        "featurizer": FeatureUnion(
            [
                (backbone, clone(parts["featurizer"]).set_params(backbone=backbone, resolution=resolution))
                for backbone, resolution in resolutions.items()
            ]
        ),
        "vectorizer": FeatureUnion([("words", CaptionVectorizer()), ("meaning", SentenceVectorizer())]),
        "regressor": MapEnsemble([*parts["regressor"].estimators, ("sharper", sharper)], random_state=0),
    }


def cross_language_parts() -> dict[str, Any]:
    """As the best, with sentence embeddings alone: words would tie it to the languages of the captions."""
    return best_parts() | {"vectorizer": SentenceVectorizer()}


def class_names_parts() -> dict[str, Any]:
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
        "calibration_share": None,
    }


PRESETS: dict[str, Callable[[], dict[str, Any]]] = {
    "default": default_parts,
    "recipe": recipe_parts,
    "best": best_parts,
    "cross_language": cross_language_parts,
    "class_names": class_names_parts,
}
