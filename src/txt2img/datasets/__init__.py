"""Captioned photographs: loaders of the usual files, photographs that are at hand offline, generators."""

from txt2img.datasets.captioned import CaptionedPhotographs
from txt2img.datasets.coco import fetch_coco_captions
from txt2img.datasets.descriptors import make_captioned_descriptors
from txt2img.datasets.loaders import (
    load_captions,
    load_captions_table,
    load_coco_captions,
    load_flickr_tokens,
    load_sidecar_captions,
)
from txt2img.datasets.samples import load_sample_photographs
from txt2img.datasets.scenes import make_captioned_scenes

__all__ = [
    "CaptionedPhotographs",
    "fetch_coco_captions",
    "load_captions",
    "load_captions_table",
    "load_coco_captions",
    "load_flickr_tokens",
    "load_sample_photographs",
    "load_sidecar_captions",
    "make_captioned_descriptors",
    "make_captioned_scenes",
]
