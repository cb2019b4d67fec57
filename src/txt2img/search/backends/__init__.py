"""What stores descriptors and finds the best of them: exactly, in graphs and lists, or on other machines."""

from typing import Any

from txt2img.search.backends.base import Backend, Found
from txt2img.search.backends.exact import ExactBackend

__all__ = ["Backend", "ExactBackend", "Found", "new_backend"]


def new_backend(name: str, *args: Any, **params: Any) -> Backend:
    """Make an empty backend by its name; its library is imported only now."""
    if name == "faiss":
        from txt2img.search.backends.faiss import FaissBackend

        return FaissBackend(*args, **params)
    if name == "milvus":
        from txt2img.search.backends.milvus import MilvusBackend

        return MilvusBackend(*args, **params)
    return ExactBackend(*args, **params)
