"""How well a search finds photographs that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from txt2img._vectors import are_not_empty
from txt2img.search.inputs import (
    Captions,
    Photographs,
    as_paths,
    as_photographs,
    check_captions,
    flatten_captions,
)
from txt2img.search.learning import new_index
from txt2img.search.words import known_word_shares

if TYPE_CHECKING:
    from txt2img.evaluation import RetrievalReport
    from txt2img.search.text_image_search import TextImageSearch


def evaluate(
    search: TextImageSearch,
    photos: Photographs,
    captions: Captions,
    ks: tuple[int, ...],
    direction: str,
    n_folds: int | None,
    columns: Mapping[str, Sequence[object]] | None,
) -> RetrievalReport:
    """Do what `TextImageSearch.evaluate` promises, for a search that is fitted."""
    from txt2img.evaluation import RetrievalEvaluator

    photos = as_photographs(photos)
    captions = check_captions(captions, len(photos))
    # Paths tell people more than numbers do, if they tell photographs apart.
    paths = as_paths(photos)
    ids = paths if paths and len(set(paths)) == len(paths) else list(range(len(photos)))
    index = new_index(search._index_part(), search.transform(photos), search.bank_, ids=ids)
    sentences, photograph = flatten_captions(captions)
    vectors = search.vectorizer_.transform(sentences)
    predicted = search.regressor_.predict(vectors)
    known: dict[str, Any] = {"texts": sentences}
    if direction == "text_to_photograph":
        shares = known_word_shares(sentences, search.words_)
        known["columns"] = {"known_words": shares, **(columns or {})}
        if search.calibrator_ is not None and n_folds is None:
            first = index.predict(predicted)[:, None]
            sure = search.calibrator_.probabilities(predicted, index, first)[:, 0]
            # Of what nobody knows a word, every photograph is as probable as any other.
            known["confidence"] = np.where(are_not_empty(vectors), sure, 1 / len(index))
    elif columns:
        known["columns"] = columns
    evaluator = RetrievalEvaluator(ks=ks, direction=direction, n_folds=n_folds)
    return evaluator.evaluate(predicted, index, [ids[row] for row in photograph], **known)
