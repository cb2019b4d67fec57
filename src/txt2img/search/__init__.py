"""The nearest photographs are the answer."""

from txt2img.search.answers import Hit, Hits, Word
from txt2img.search.confidence import ConfidenceCalibrator
from txt2img.search.index import ImageIndex
from txt2img.search.query import Query
from txt2img.search.text_image_search import TextImageSearch

__all__ = ["ConfidenceCalibrator", "Hit", "Hits", "ImageIndex", "Query", "TextImageSearch", "Word"]
