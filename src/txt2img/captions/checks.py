"""Check of captions, the input of both vectorizers."""

from collections.abc import Iterable, Mapping, Set


def check_captions(captions: Iterable[str]) -> list[str]:
    """Check that the input is a sequence of sentences, and return it as a list.

    Parameters
    ----------
    captions : iterable of str
        List, tuple, one-dimensional array, or Series of pandas or polars.

    Returns
    -------
    list of str
        The captions in their order.

    Raises
    ------
    ValueError
        If `captions` is one string, has no order or more than one dimension, or if an entry is not a string.
    """
    if isinstance(captions, str | bytes):
        raise ValueError(
            f"captions is one string, {captions!r}: pass a list of sentences, as in [{captions!r}]"
        )
    if isinstance(captions, Mapping | Set) or not isinstance(captions, Iterable):
        raise ValueError(f"captions is a {type(captions).__name__}: pass a list of sentences")
    shape = getattr(captions, "shape", (None,))
    if len(shape) != 1:
        raise ValueError(f"captions has shape {shape}: pass one column of sentences, with one dimension")
    captions = list(captions)
    for position, caption in enumerate(captions):
        if not isinstance(caption, str):
            raise ValueError(
                f"captions[{position}] is a {type(caption).__name__} ({caption!r}), not a string: "
                "leave it out together with its photograph, or write '' for a caption without words"
            )
    return captions
