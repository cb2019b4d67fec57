"""Whether the parts of a search belong together: the photograph side, the text side and the gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from txt2img._types import Array

if TYPE_CHECKING:
    from txt2img.search.text_image_search import TextImageSearch

# Of the bank, as it may be large and lie on disk.
QUERIES_COMPARED = 100
REMEDY = "these parts do not belong together; fit the search anew, or load one that was saved whole"


def check_belonging(search: TextImageSearch) -> None:
    """Say which parts of a fitted search were not made for one another.

    Parameters
    ----------
    search : TextImageSearch
        Fitted, or loaded.

    Raises
    ------
    ValueError
        If one part gives vectors of another width than the next one was fitted on, or the gallery corrects
        hubs by other queries than those of the search.
    """
    width = search.n_features_in_
    given = getattr(search.featurizer_, "_n_features_out", width)
    if given != width:
        raise ValueError(
            f"the featurizer gives descriptors of {given} numbers, but the search was fitted on "
            f"{width}: {REMEDY}"
        )
    for name, part in (
        ("whitener", search.whitener_),
        ("visual map of the regressor", getattr(search.regressor_, "visual_map_", None)),
    ):
        wanted = getattr(part, "n_features_in_", width)
        if wanted != width:
            raise ValueError(
                f"the {name} was fitted on descriptors of {wanted} numbers, but those that come to it have "
                f"{width}: {REMEDY}"
            )
        width = getattr(part, "_n_features_out", width)
    n_words = getattr(search.vectorizer_, "vocabulary_", None)
    asked = getattr(search.regressor_, "n_features_in_", None)
    if n_words is not None and asked is not None and len(n_words) != asked:
        raise ValueError(
            f"the vectorizer knows {len(n_words)} terms, but the regressor was fitted on {asked}: {REMEDY}"
        )
    text_side = {
        "predictions of the regressor": getattr(search.regressor_, "_n_features_out", width),
        "queries of the bank": search.bank_.shape[1],
        "mean of the descriptors": len(search.centre_),
    }
    if search.index_ is not None:
        text_side["descriptors of the gallery"] = search.index_.n_features_in_
    for name, found in text_side.items():
        if found != width:
            raise ValueError(f"the {name} have {found} numbers, but photographs {width}: {REMEDY}")
    bank = getattr(search.index_, "bank_", None)
    if bank is not None and not _same_directions(bank, search.bank_):
        raise ValueError(f"the gallery corrects hubs by the queries of another search: {REMEDY}")


def _same_directions(bank: Array, other: Array) -> bool:
    if bank.shape != other.shape:
        return False
    some = np.unique(np.linspace(0, len(bank) - 1, QUERIES_COMPARED).astype(np.intp))
    bank, other = bank[some].astype(np.float64), other[some].astype(np.float64)
    cosines = np.einsum("ij,ij->i", bank, other)
    return np.allclose(cosines, np.linalg.norm(bank, axis=1) * np.linalg.norm(other, axis=1), atol=1e-4)
