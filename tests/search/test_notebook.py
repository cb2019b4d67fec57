"""Answers in a notebook: thumbnails, a list all the same, and nothing that a stranger's file smuggles in."""

import base64
import copy
import io
import json
import os
import pickle
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from txt2img import TextImageSearch, TextToVisualRegressor
from txt2img.search import Hit, Hits, Query
from txt2img.search.answers import Answers

HOSTILE = [
    "<script>alert(1)</script>.jpg",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</figure></div><iframe src='javascript:alert(1)'>",
    "&lt;script&gt;&#60;b&#62;",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "https://example.com/cat.jpg",
    "]]><!--",
    "cat\x00.jpg",
    "$\\href{javascript:alert(1)}{cat}$.jpg",
    b"caf\xe9.jpg".decode("utf-8", "surrogateescape"),
    "\u202egpj.exe",
]


class Page(HTMLParser):
    """Elements and attributes as a browser finds them."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text, self.open = [], [], "", []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def of(self, name):
        return [value for key, value in self.attributes if key == name]


def page_of(*hits):
    return Page(Hits(hits)._repr_html_())


def thumbnails(page):
    prefix = "data:image/jpeg;base64,"
    assert all(source.startswith(prefix) for source in page.of("src"))
    return [Image.open(io.BytesIO(base64.b64decode(source[len(prefix) :]))) for source in page.of("src")]


def test_hits_are_shown_with_rank_name_score_and_probability(photograph_files):
    page = page_of(
        Hit(photograph_files[0], 0.5123, 1, 0.734, duplicates=("a", "b")), Hit(photograph_files[2], -0.25, 2)
    )
    assert page.text == "1. 0_red.png0.512 · 73% · 2 more like it2. 2_blue.png-0.250"
    assert page.of("title") == [photograph_files[0], photograph_files[2]]
    assert page.open == []
    colours = [image.getpixel((160, 120)) for image in thumbnails(page)]
    np.testing.assert_allclose(colours, [(255, 0, 0), (0, 0, 255)], atol=3)


def test_thumbnails_are_small_and_upright(tmp_path):
    pixels = np.zeros((1000, 3000, 3), np.uint8)
    pixels[:, :1500] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: the left half becomes the upper half
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", exif=exif)
    page = page_of(Hit(str(tmp_path / "photo.jpg"), 1.0, 1))
    (image,) = thumbnails(page)
    assert image.size == (320, 240)
    assert image.getpixel((160, 5)) == (255, 255, 255)
    assert len(page.of("src")[0]) < 40_000


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_ids_stay_text(hostile):
    html = Answers([[Hit(hostile, 0.5, 1), Hit((hostile, 1), 0.4, 2)]], [hostile])._repr_html_()
    page = Page(html)
    assert set(page.tags) <= {"div", "figure", "figcaption", "bdi", "br", "p", "b"}
    assert {name for name, _ in page.attributes} <= {"class", "style", "title"}
    assert page.open == []
    assert not re.search("[<>\"']", "".join(re.findall(r"<bdi>(.*?)</bdi>", html, re.DOTALL)))
    assert page.of("title")[0] == hostile.encode("utf-8", "replace").decode()
    json.dumps(html, ensure_ascii=False).encode("utf-8")  # as a notebook is sent and saved


@pytest.mark.parametrize("name", [name for name in HOSTILE if "/" not in name and "\x00" not in name])
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets the name of a file hold any byte")
def test_photographs_with_hostile_names_are_shown(tmp_path, name):
    Image.new("RGB", (40, 30), "red").save(tmp_path / name, "PNG")
    page = page_of(Hit(str(tmp_path / name), 0.5, 1))
    assert len(thumbnails(page)) == 1
    assert page.tags == ["div", "figure", "img", "figcaption", "bdi", "br"]


def test_questions_are_no_formulas_and_no_markup():
    question = Query("<b>$x$</b>") - Query.photograph("<script>")
    html = Answers([[]], [question])._repr_html_()
    assert Page(html).text == repr(question)
    assert html.count("<") == html.count("<p ") + html.count("<b>") + html.count("<div ") + html.count("</")
    assert all("mathjax_ignore" in value for value in Page(html).of("class"))


def test_what_the_camera_wrote_down_stays_in_the_file(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "at home, 1 Secret Street"
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (400, 300)).save(path, exif=exif, comment=b"a secret", icc_profile=b"secret profile")
    assert b"ecret" in path.read_bytes()
    (source,) = page_of(Hit(str(path), 1.0, 1)).of("src")
    assert b"ecret" not in base64.b64decode(source.partition(",")[2])


def test_photographs_that_cannot_be_read_leave_a_blank(tmp_path, photograph_files):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "page.jpg").write_text("<svg onload=alert(1)>")
    (tmp_path / "half.png").write_bytes((tmp_path / "0_red.png").read_bytes()[:60])
    os.mkfifo(tmp_path / "pipe.jpg")  # opening it would wait for ever
    bomb = Image.new("1", (20_000, 20_000))
    bomb.save(tmp_path / "bomb.png")
    bad = [str(tmp_path / name) for name in ("empty.jpg", "page.jpg", "half.png", "pipe.jpg", "bomb.png")]
    ids = [*bad, str(tmp_path), "/dev/zero", "", None, 7, ("a", 1), b"\x89PNG", photograph_files[0]]
    hits = Hits(Hit(id, 0.1, rank) for rank, id in enumerate(ids, 1))
    assert len(thumbnails(Page(hits[:12]._repr_html_()))) == 0
    page = Page(hits[7:]._repr_html_())
    assert len(thumbnails(page)) == 1
    assert page.tags.count("figure") == 6


def test_number_of_thumbnails_is_bounded(photograph_files, monkeypatch):
    hits = Hits(Hit(photograph_files[0], 0.1, rank) for rank in range(1, 1001))
    page = Page(hits._repr_html_())
    assert page.tags.count("img") == 12
    assert page.text.endswith("… and 988 more hits")
    page = Page(Answers([hits] * 50, ["a"] * 50)._repr_html_())
    assert page.tags.count("img") == 144
    assert page.text.endswith("… and 38 more answers")


def test_hits_are_a_list():
    hits = Hits([Hit("a", 0.3, 1), Hit("b", 0.2, 2)])
    assert hits == [Hit("a", 0.3, 1), Hit("b", 0.2, 2)]
    assert repr(hits) == repr(list(hits))
    assert json.loads(json.dumps(hits)) == [["a", 0.3, 1, None, []], ["b", 0.2, 2, None, []]]
    for other in (copy.copy(hits), copy.deepcopy(hits), pickle.loads(pickle.dumps(hits)), hits[:]):
        assert other == hits
        assert type(other) is Hits
    answers = Answers([hits, hits], ["a", Query("b")])
    for other in (copy.deepcopy(answers), pickle.loads(pickle.dumps(answers))):
        assert other == [hits, hits]
        assert other._repr_html_() == answers._repr_html_()


def test_a_search_answers_with_them_and_reads_no_file_before_it_is_asked(captioned, monkeypatch):
    captions, descriptors = captioned
    asked = captions[0][0], captions[1][0]
    search = TextImageSearch(regressor=TextToVisualRegressor(), calibration_share=None)
    search.fit(descriptors[:80], captions[:80]).add(descriptors[80:90], ids=[f"{i}.jpg" for i in range(10)])
    read = []
    monkeypatch.setattr(
        "txt2img.search.notebook.decode_photograph",
        lambda path, **_: read.append(path) or Image.new("RGB", (8, 8)),
    )
    hits, many = search.query(asked[0], k=3), search.query([asked[0], Query(*asked)], k=2)
    assert read == []
    assert type(hits) is Hits
    assert [type(each) for each in many] == [Hits, Hits]
    assert [hit.id for hit in many[0]] == [hit.id for hit in hits[:2]]
    assert Page(many._repr_html_()).text.startswith(f"{asked[0]}1. ")
    assert read == [hit.id for each in many for hit in each]
