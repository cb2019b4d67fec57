"""Vectors of sentences become the descriptors that they describe."""

from txt2img.mapping.ensemble import MapEnsemble
from txt2img.mapping.regressor import TextToVisualRegressor
from txt2img.mapping.visual_map import VisualMap

__all__ = ["MapEnsemble", "TextToVisualRegressor", "VisualMap"]
