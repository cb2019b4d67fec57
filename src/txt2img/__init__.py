"""Search photographs that nobody has labelled by typing what you see, in your own language."""

from txt2img.captions import CaptionVectorizer, SentenceVectorizer
from txt2img.evaluation import RetrievalEvaluator
from txt2img.images import DescriptorWhitener, ImageFeaturizer
from txt2img.mapping import TextToVisualRegressor
from txt2img.search import ImageIndex, TextImageSearch

__version__ = "0.1.0"

__all__ = [
    "CaptionVectorizer",
    "DescriptorWhitener",
    "ImageFeaturizer",
    "ImageIndex",
    "RetrievalEvaluator",
    "SentenceVectorizer",
    "TextImageSearch",
    "TextToVisualRegressor",
]
