"""From a sentence to a vector."""

from txt2img.captions.caption_vectorizer import CaptionVectorizer
from txt2img.captions.sentence_vectorizer import SentenceVectorizer

__all__ = ["CaptionVectorizer", "SentenceVectorizer"]
