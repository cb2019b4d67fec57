"""From questions to answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    vectors, text_shares = query_vectors(queries, search.predict, search.transform)
    calibrator = search.calibrator_
    found = gallery.search(
        vectors,
        k,
        correction=text_shares,  # the bank are sentences, and photographs are other queries
        where=where,
        group_duplicates=group_duplicates,
        temperature=None if calibrator is None else calibrator.temperature_,
    )
    answers = as_hits(*found, calibrated=text_shares == 1, grouped=group_duplicates is not None)
    return Answers(answers, questions)
