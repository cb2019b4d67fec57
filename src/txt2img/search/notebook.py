"""Hits as HTML for notebooks.

Ids, which may be names of files that strangers chose, and questions are escaped. Of a file nothing but its
pixels, made small, gets into the page, and no part of the page asks the network for anything.
"""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from txt2img.exceptions import UnreadablePhotographError
from txt2img.images.reading import decode_photograph, quiet_pillow

if TYPE_CHECKING:
    from txt2img.search.answers import Hit

MAX_HITS = 12
MAX_ANSWERS = 12
SIZE = (160, 120)
MAX_PIXELS = 200_000_000
# Notebooks typeset formulas, which may hold links; names of files are none.
NO_FORMULAS = "tex2jax_ignore mathjax_ignore"


def hits_as_html(hits: Sequence[Hit]) -> str:
    """Draw the first hits side by side, each with its rank, name and score below it.

    Parameters
    ----------
    hits : sequence of Hit
        Hits of one query.

    Returns
    -------
    str
        HTML.
    """
    with quiet_pillow():
        figures = "".join(map(_figure, hits[:MAX_HITS]))
    return (
        f'<div class="{NO_FORMULAS}" style="display: flex; flex-wrap: wrap; gap: 12px">{figures}</div>'
        f"{_more(len(hits) - MAX_HITS, 'hits')}"
    )


def answers_as_html(answers: Sequence[Sequence[Hit]], questions: Sequence[str]) -> str:
    """Draw the hits of several queries, each below its question.

    Parameters
    ----------
    answers : sequence of sequence of Hit
        Hits of each query.
    questions : sequence of str
        What was asked.

    Returns
    -------
    str
        HTML.
    """
    parts = [
        f'<p class="{NO_FORMULAS}" style="margin: 12px 0 4px"><b>{_escaped(question)}</b></p>'
        f"{hits_as_html(hits)}"
        for question, hits in zip(questions[:MAX_ANSWERS], answers)
    ]
    return "".join(parts) + _more(len(answers) - MAX_ANSWERS, "answers")


def _figure(hit: Hit) -> str:
    name = os.path.basename(hit.id) if isinstance(hit.id, str) else str(hit.id)
    figures = f"{hit.score:.3f}" + (f" · {hit.probability:.0%}" if hit.probability is not None else "")
    if hit.duplicates:
        figures += f" · {len(hit.duplicates)} more like it"
    cut = "overflow: hidden; text-overflow: ellipsis; white-space: nowrap"
    return (
        f'<figure style="margin: 0; width: {SIZE[0]}px" title="{_escaped(hit.id)}">{_picture(hit.id)}'
        f'<figcaption style="font-size: 12px; line-height: 1.4; {cut}">'
        f"{hit.rank}. <bdi>{_escaped(name)}</bdi><br>{figures}</figcaption></figure>"
    )


def _picture(photograph: object) -> str:
    """Return a thumbnail, or a blank if `photograph` is no photograph that can be read."""
    size = f"width: {SIZE[0]}px; height: {SIZE[1]}px; border-radius: 4px"
    try:
        jpeg = base64.b64encode(_thumbnail(photograph)).decode("ascii")
    except UnreadablePhotographError:
        return f'<div style="{size}; box-sizing: border-box; border: 1px dashed gray"></div>'
    return f'<img src="data:image/jpeg;base64,{jpeg}" alt="" style="{size}; margin: 0; display: block">'


def _thumbnail(photograph: object) -> bytes:
    from PIL import Image, ImageOps

    if not isinstance(photograph, str | os.PathLike):
        raise UnreadablePhotographError("it is not a path")
    pixels = (2 * SIZE[0], 2 * SIZE[1])  # for screens of twice the resolution
    image = decode_photograph(photograph, max_pixels=MAX_PIXELS, min_side=max(pixels))
    image = ImageOps.fit(image, pixels, Image.Resampling.LANCZOS, centering=(0.5, 0.35))
    image.info.clear()  # comments, among others, would be saved again
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=70)
    return stream.getvalue()


def _escaped(text: object) -> str:
    """Escape for HTML, in text and attributes; what is no character, as in names of files, becomes ``?``."""
    return html.escape(str(text).encode("utf-8", "replace").decode("utf-8"), quote=True)


def _more(number: int, of_what: str) -> str:
    return f'<p style="margin: 4px 0">… and {number:,} more {of_what}</p>' if number > 0 else ""
