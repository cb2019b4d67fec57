"""Photographs become descriptors."""

from txt2img.images.backbone import Backbone
from txt2img.images.backbones import OFFLINE_BACKBONES, list_backbones, load_backbone
from txt2img.images.classes import class_descriptors
from txt2img.images.featurizer import ImageFeaturizer
from txt2img.images.reading import FailedPhotograph, list_photographs, read_photograph
from txt2img.images.store import DescriptorStore
from txt2img.images.whitener import DescriptorWhitener

__all__ = [
    "OFFLINE_BACKBONES",
    "Backbone",
    "DescriptorStore",
    "DescriptorWhitener",
    "FailedPhotograph",
    "ImageFeaturizer",
    "class_descriptors",
    "list_backbones",
    "list_photographs",
    "load_backbone",
    "read_photograph",
]
