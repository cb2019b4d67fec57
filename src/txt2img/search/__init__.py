"""The nearest photographs are the answer."""

from txt2img.search.index import ImageIndex
from txt2img.search.text_image_search import Hit, TextImageSearch

__all__ = ["Hit", "ImageIndex", "TextImageSearch"]
