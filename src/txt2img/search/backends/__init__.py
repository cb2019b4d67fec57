"""What stores descriptors and finds the best of them: exactly, in graphs and lists, or on other machines."""

from txt2img.search.backends.base import Backend, Found
from txt2img.search.backends.exact import ExactBackend

__all__ = ["Backend", "ExactBackend", "Found", "new_backend"]


def new_backend(name, *args, **params):
    """Make an empty backend by its name; its library is imported only now."""
    if name == "faiss":
        from txt2img.search.backends.faiss import FaissBackend as kind
    elif name == "milvus":
        from txt2img.search.backends.milvus import MilvusBackend as kind
    else:
        kind = ExactBackend
    return kind(*args, **params)
