"""Tables of queries and slices, and what leaves the program: nothing hostile acts, no data are altered."""

import json
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from txt2img.evaluation import RetrievalEvaluator, RetrievalReport, Table
from txt2img.exceptions import MissingExtraError

HOSTILE = [
    '<script>alert("x")</script>',
    "<img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</td></table>& &amp; {",
    "a|b\nc\r\n| --- |\t`x` $x_1$ ~ ^ # \\input{/etc/passwd} 50 %",
    "[link](javascript:alert(1))",
    "=HYPERLINK(1)\x00\x1b[31m\u202egnp.exe",
    "bad\udcff.jpg",
]


TAGS = {"table", "caption", "thead", "tbody", "tr", "th", "td", "bdi"}


class Index:
    """Photographs on the axes."""

    bias_ = None

    def __init__(self, ids):
        self.ids_ = ids

    def score_factors(self, queries):
        return queries, np.eye(len(self.ids_)), None


@pytest.fixture
def report():
    """Six photographs, two captions each, of which the second ones are found last."""
    ids = [f"{row}.jpg" for row in range(6)]
    scores = np.array([np.roll([6.0, 5, 4, 3, 2, 1], row) for row in range(6)])
    predicted = np.stack([scores, -scores], axis=1).reshape(12, 6)
    return RetrievalEvaluator(ks=(1, 2), n_hits=4).evaluate(
        predicted,
        Index(ids),
        np.repeat(ids, 2).tolist(),
        texts=[f"{'very ' * (row % 3)}good {row}" for row in range(12)],
        columns={"language": ["en", "es"] * 6, "known_words": np.linspace(0, 1, 12)},
    )


class Text(HTMLParser):
    """Read the tags and the text of a page as a browser would."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        assert all(name == "style" for name, _ in attributes)
        self.tags.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def test_hostile_texts_stay_text_in_html():
    table = Table({"<b>query</b>": HOSTILE, "id": HOSTILE[::-1]}, title=HOSTILE[0])
    page = Text(table._repr_html_())
    assert set(page.tags) == TAGS
    assert page.tags.count("td") == 2 * len(HOSTILE)
    for text in HOSTILE[:4]:
        assert text in page.text
    assert not any(sign in table._repr_html_() for sign in "\x00\x1b\u202e\udcff")
    table._repr_html_().encode("utf-8")


def test_hostile_ids_and_captions_of_a_report_stay_text():
    report = RetrievalEvaluator(ks=(1,)).evaluate(
        np.eye(8), Index(HOSTILE), HOSTILE, texts=HOSTILE, columns={"language": HOSTILE}
    )
    for table in (report, report.queries, report.worst(), report.slices("language")):
        assert set(Text(table._repr_html_()).tags) <= TAGS
        str(table).encode("utf-8")
        json.loads(table.to_json())
    assert len(str(report.worst(8)).splitlines()) == 9


def test_a_cell_of_markdown_stays_one_cell():
    lines = Table({"query": HOSTILE}).to_markdown().splitlines()
    assert len(lines) == 2 + len(HOSTILE)
    for line in lines:
        assert line.replace("\\|", "").count("|") == 2
        assert "<" not in line
        assert "](" not in line.replace("\\]", "")


def test_a_cell_of_latex_stays_one_cell():
    table = Table({"query": HOSTILE}).to_latex()
    body = table.split("\\midrule\n")[1].split("\n\\bottomrule")[0].split("\n")
    assert len(body) == len(HOSTILE)
    assert all(line.endswith(r" \\") for line in body)
    assert r"\textbackslash{}input\{/etc/passwd\} 50 \%" in body[4]
    assert not any("\\input{" in line for line in body)
    assert table.startswith(r"\begin{tabular}{l}")
    assert table.endswith(r"\end{tabular}")


def test_data_leave_as_they_are():
    table = Table({"query": HOSTILE, "rank": list(range(8))}, shown={"rank": ["?"] * 8})
    assert table["query"] == HOSTILE
    assert table.to_frame()["query"].tolist() == HOSTILE
    assert [row["query"] for row in json.loads(table.to_json())] == HOSTILE
    assert len(table) == 8


def test_json_has_null_for_what_is_not_finite_and_strings_for_other_ids():
    table = Table({"x": [np.nan, np.inf, np.float32(0.5)], "id": [("a", 1), np.int64(3), b"c"]})
    rows = json.loads(table.to_json())
    assert [row["x"] for row in rows] == [None, None, 0.5]
    assert [row["id"] for row in rows] == [["a", 1], 3, "b'c'"]


def test_numbers_are_aligned_and_long_texts_lose_their_middle():
    table = Table({"path": ["/photographs/" + "x" * 80 + "/cat.jpg", "b"], "rank": [5, 1_000]})
    first, second = str(table).splitlines()[1:]
    assert first.startswith("/photographs/xxx")
    assert "…" in first
    assert "/cat.jpg     5" in first
    assert second.endswith(" 1000")
    assert "/cat.jpg" in table.to_markdown()
    assert "x" * 80 in table.to_markdown()


def test_letters_that_join_stay():
    assert "می\u200cروم" in str(Table({"query": ["می\u200cروم"]}))


def test_data_frame_needs_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"txt2img\[pandas\]"):
        Table({"a": [1]}).to_frame()


def test_queries_tell_everything(report):
    frame = report.to_frame()
    assert list(frame)[:6] == ["text", "true_id", "rank", "n_words", "language", "known_words"]
    assert frame["rank"].tolist() == report.ranks.tolist() == [1, 6] * 6
    assert frame["n_words"].tolist() == [2, 3, 4] * 4
    assert frame["hit_1"].tolist()[::2] == report.true_ids[::2]
    assert frame["hit_4"].notna().all()
    assert (frame["score_1"] >= frame["score_2"]).all()
    assert isinstance(frame, pd.DataFrame)


def test_worst_queries_come_first_with_what_came_instead(report):
    worst = report.worst(7, n_hits=2)
    assert worst["rank"] == [6.0] * 6 + [1.0]
    assert worst["text"][0] == "very good 1"
    assert worst["true_id"][:2] == ["0.jpg", "1.jpg"]
    assert worst["hit_1"][0] == "5.jpg"
    assert worst["hit_2"][0] == "4.jpg"
    assert "hit_3" not in worst.columns
    assert str(worst).splitlines()[1].split()[:5] == ["very", "good", "1", "0.jpg", "6"]


def test_slices_are_reports_of_their_queries(report):
    slices = report.slices("language")
    assert slices["language"] == ["en", "es"]
    assert slices["queries"] == slices["photographs"] == [6, 6]
    assert slices["R@1"] == [1, 0]
    spanish = report.subset(np.array(report.columns["language"]) == "es")
    assert slices["R@1 high"][1] == pytest.approx(spanish.recall_interval(1)[1]) != 0
    assert slices["mean_rank"] == [1, 6]
    assert "0.0 % (0.0 to " in str(slices)
    assert "mean rank" in str(slices)


def test_numbers_of_many_values_are_parted_into_bins(report):
    assert report.slices("n_words")["n_words"] == ["2", "3", "4"]
    bins = report.slices("known_words", bins=3)
    assert bins["queries"] == [4, 4, 4]
    assert report.slices("known_words")["queries"] == [3, 3, 3, 3]
    assert report.slices([0.0, 1, 2, 3, 4, 5] * 2)["queries"] == [2] * 6
    assert bins["known_words"] == ["0 to 0.2727", "0.3636 to 0.6364", "0.7273 to 1"]


def test_slices_by_values_of_which_some_are_missing(report):
    slices = report.slices([None, np.nan, "a", "b"] * 3)
    assert slices["part"] == ["a", "b", "missing"]
    assert slices["queries"] == [3, 3, 6]
    numbers = report.slices([np.nan, *range(11)], bins=2)
    assert numbers["part"] == ["0 to 5", "6 to 10", "missing"]
    assert sum(numbers["queries"]) == 12


def test_most_queries_of_one_value_make_no_empty_bins(report):
    slices = report.slices([1.0] * 8 + [0.1, 0.2, 0.3, 0.4], bins=3)
    assert slices["queries"] == [4, 8]
    assert slices["part"] == ["0.1 to 0.4", "1"]


def test_subset_keeps_what_belongs_to_its_queries(report):
    rows = [7, 2]
    part = report.subset(rows)
    assert part.ranks.tolist() == report.ranks[rows].tolist()
    assert part.columns["text"] == [report.columns["text"][row] for row in rows]
    assert part.hit_ids.tolist() == report.hit_ids[rows].tolist()
    assert part.hubness is None
    assert part.n_gallery == 6
    with pytest.raises(ValueError, match="queries names no query"):
        report.subset(report.ranks > 6)


def test_hits_without_scores_are_told():
    hit_ids = np.array([["a.jpg", "b.jpg"]], object)
    report = RetrievalReport(np.array([0]), np.array([1]), (1,), 2, ["a.jpg"], hit_ids=hit_ids)
    assert report.queries.columns == {
        "true_id": ["a.jpg"],
        "rank": [1.0],
        "hit_1": ["a.jpg"],
        "hit_2": ["b.jpg"],
    }


def test_report_as_json(report):
    data = json.loads(report.to_json(queries=True))
    assert data["figures"] == report.to_dict()
    assert data["chance"] == report.chance
    assert data["intervals"]["R@1"] == pytest.approx(list(report.recall_interval(1)))
    assert data["queries"]["rank"] == report.ranks.tolist()
    for name in ("direction", "n_queries", "n_gallery", "hubness", "calibration_error", "brier_score"):
        assert data[name] == getattr(report, name)
    assert "queries" not in json.loads(report.to_json())


def test_report_as_markdown_and_latex(report):
    low, high = (f"{100 * end:.1f}" for end in report.recall_interval(1))
    assert report.to_markdown().splitlines()[2] == f"| R@1 | 50.0 % | {low} to {high} % | 16.7 % |"
    assert rf"R@1 & 50.0 \% & {low} to {high} \% & 16.7 \% \\" in report.to_latex()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda report: report.slices("colour"), "by is 'colour'.*there are 'text', 'n_words', 'language'"),
        (lambda report: report.slices([1, 2]), "by has 2 entries but there are 12"),
        (lambda report: report.slices("language", bins=0), "bins is 0"),
        (lambda report: report.worst(0), "n is 0"),
    ],
)
def test_bad_questions(report, call, message):
    with pytest.raises(ValueError, match=message):
        call(report)


def test_a_report_without_columns_says_so():
    report = RetrievalReport(np.zeros(2, int), np.ones(2, int), (1,), 5, ["a", "b"])
    with pytest.raises(ValueError, match="pass texts or columns to the evaluation"):
        report.slices("text")
    assert list(report.worst(1).columns) == ["true_id", "rank"]
