"""Vectors of sentences become the descriptors that they describe."""

from txt2img.mapping.regressor import TextToVisualRegressor

__all__ = ["TextToVisualRegressor"]
