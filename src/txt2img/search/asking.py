"""From questions to answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from txt2img._types import Array
from txt2img._vectors import are_not_empty
from txt2img.search.answers import Answers, Hits, as_hits
from txt2img.search.catalogue import Where
from txt2img.search.query import Query, as_queries, query_vectors

if TYPE_CHECKING:
    from txt2img.search.text_image_search import TextImageSearch


def ask(
    search: TextImageSearch,
    questions: list[str] | list[Query] | list[str | Query],
    k: int,
    where: Where | None,
    group_duplicates: float | None,
) -> list[Hits]:
    """Do what `TextImageSearch.query` promises for several questions."""
    gallery = search._gallery()
    queries = as_queries(questions)
    if not queries:
        return []
    is_known: dict[str, bool] = {}

    def predict(sentences: list[str]) -> Array:
        text_vectors = search.vectorizer_.transform(sentences)
        is_known.update(zip(sentences, are_not_empty(text_vectors).tolist()))
        return search.regressor_.predict(text_vectors)

    vectors, text_shares = query_vectors(queries, predict, search.transform)
    temperatures = np.zeros(len(queries))
    if search.calibrator_ is not None:
        # Of what nobody knows a word, every photograph is as probable as any other.
        known = [any(is_known[sentence] for sentence in query.sentences) for query in queries]
        temperatures = np.where(known, search.calibrator_.temperature_, np.inf)
    answers = [Hits()] * len(queries)
    for temperature in np.unique(temperatures):
        own = np.flatnonzero(temperatures == temperature)
        found = gallery.search(
            vectors[own],
            k,
            correction=text_shares[own],  # the bank are sentences, and photographs are other queries
            where=where,
            group_duplicates=group_duplicates,
            temperature=temperature or None,
        )
        hits = as_hits(*found, calibrated=text_shares[own] == 1, grouped=group_duplicates is not None)
        for query, its_hits in zip(own, hits):
            answers[query] = its_hits
    return Answers(answers, questions)
