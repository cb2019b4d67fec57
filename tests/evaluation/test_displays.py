"""Displays carry the right data, and the contact sheet draws what it is given."""

import os
import sys
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression

from txt2img import ImageIndex, TextImageSearch, TextToVisualRegressor
from txt2img.evaluation import (
    CalibrationCurveDisplay,
    GalleryMapDisplay,
    HubnessDisplay,
    RankHistogramDisplay,
    RecallComparisonDisplay,
    RecallCurveDisplay,
    RetrievalReport,
    contact_sheet,
    expected_calibration_error,
    k_occurrence,
    k_occurrence_skewness,
    mean_reciprocal_rank_score,
    recall_at_k_score,
)
from txt2img.exceptions import MissingExtraError, UnreadablePhotographError

matplotlib = pytest.importorskip("matplotlib")
PIL_Image = pytest.importorskip("PIL.Image")
Figure = pytest.importorskip("matplotlib.figure").Figure


@pytest.fixture
def ax():
    return Figure().subplots()


def report_of(ranks, n_gallery=200, n_tied=1):
    ranks = np.asarray(ranks)
    return RetrievalReport(ranks - 1, np.full(len(ranks), n_tied), (1, 5), n_gallery, list(range(len(ranks))))


def picture(height=30, width=40, colour=(200, 30, 30)):
    return np.full((height, width, 3), colour, np.uint8)


def drawn(figure):
    """Texts and thumbnails on the axes of a contact sheet."""
    (ax,) = figure.axes
    return [text.get_text() for text in ax.texts], [np.asarray(image.get_array()) for image in ax.images]


def frames(figure):
    return [patch for patch in figure.axes[0].patches if patch.get_gid() == "right"]


def edges_of_bars(containers):
    """Left and right edges from left to right, of bars that do not overlap."""
    edges = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bars in containers for bar in bars)
    assert all(end < start for (_, end), (start, _) in pairwise(edges))
    return edges


# Histogram of ranks


def test_histogram_shares_the_queries_among_the_bins(ax):
    ranks = np.random.default_rng(0).integers(1, 201, size=500)
    display = RankHistogramDisplay.from_report(report_of(ranks), ax=ax)
    expected = np.histogram(ranks, bins=np.asarray(display.edges) + 0.5)[0] / 500
    np.testing.assert_allclose(display.share, expected, atol=1e-12)
    assert display.edges[0] == 0
    assert display.edges[-1] == 200
    queries, chance = display.ax_.patches[-2:]
    np.testing.assert_allclose(queries.get_data().values, expected, atol=1e-12)
    np.testing.assert_allclose(chance.get_data().values, np.diff(display.edges) / 200)
    for stairs in (queries, chance):
        np.testing.assert_array_equal(stairs.get_data().edges, np.asarray(display.edges) + 0.5)
    assert chance.get_linestyle() == "--"
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert ax.get_xlabel()
    assert ax.get_ylabel()


def test_histogram_of_a_constant_predictor_is_chance(ax):
    display = RankHistogramDisplay.from_report(report_of([1, 1, 1], n_tied=200), ax=ax)
    np.testing.assert_allclose(display.share, display.chance)


def test_histogram_title_says_the_figures(ax):
    RankHistogramDisplay.from_report(report_of([1, 4, 4, 9]), ax=ax)
    assert ax.get_title(loc="left") == "R@1 25.0 %   R@5 75.0 %   R@10 100.0 %   median rank 4"


def test_chance_is_higher_where_several_are_right(ax):
    report = RetrievalReport(
        np.array([0, 3]), np.ones(2, int), (1, 5), 20, ["a", "b"], n_answers=np.array([5, 5])
    )
    curve = RecallCurveDisplay.from_report(report, n_resamples=50, ax=ax)
    assert curve.chance_line_.get_ydata()[0] == pytest.approx(5 / 20)
    assert RankHistogramDisplay.from_report(report, ax=ax).chance[0] == pytest.approx(5 / 20)
    assert RecallComparisonDisplay.from_reports({"one": report}, ks=(1,), ax=ax).chance == pytest.approx(
        [0.25]
    )


@pytest.mark.parametrize("n_gallery", [1, 2, 7, 100_000])
def test_displays_of_galleries_of_any_size(n_gallery):
    report = RetrievalReport(np.array([0]), np.array([1]), (1,), n_gallery, ["a"])
    for display in (RankHistogramDisplay, RecallCurveDisplay):
        display.from_report(report, ax=Figure().subplots()).figure_.canvas.draw()


def test_report_plots_on_a_new_pyplot_figure():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    matplotlib.use("agg")
    display = report_of([1, 4, 9]).plot()
    assert display.figure_.number in pyplot.get_fignums()
    display.figure_.canvas.draw()
    pyplot.close(display.figure_)


# Curve of recall


def test_curve_carries_recall_band_and_chance(ax):
    report = report_of(np.random.default_rng(0).integers(1, 150, size=80))
    display = RecallCurveDisplay.from_report(report, name="ridge", level=0.9, ax=ax)
    ks, recall = display.line_.get_data()
    np.testing.assert_array_equal(recall, [report.recall_at(k) for k in ks])
    assert (ks[0], ks[-1]) == (1, 200)
    assert recall[-1] == 1
    low, high = report.recall_interval(5, level=0.9)
    at_five = list(ks).index(5)
    assert (display.low[at_five], display.high[at_five]) == (low, high)
    corners = {tuple(corner) for corner in np.round(display.band_.get_paths()[0].vertices, 9)}
    assert {(5, round(low, 9)), (5, round(high, 9))} <= corners
    np.testing.assert_allclose(display.chance_line_.get_ydata(), ks / 200)
    assert display.chance_line_.get_linestyle() == "--"
    assert ax.get_ylim() == (0, 1)


def test_several_reports_on_the_same_axes(ax):
    first = RecallCurveDisplay.from_report(report_of([1, 2, 30]), name="words", ax=ax)
    second = RecallCurveDisplay.from_report(
        report_of([1, 1, 3]), name="sentences", plot_chance_level=False, ax=ax
    )
    assert second.ax_ is first.ax_
    assert second.chance_line_ is None
    assert first.line_.get_color() != second.line_.get_color()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["words", "chance", "sentences"]


def test_curve_without_a_band(ax):
    assert RecallCurveDisplay([1, 2], [0.5, 1.0], [0.5, 1.0]).plot(ax).band_ is None


# From predictions and estimators


@pytest.fixture
def predictions():
    """Return descriptors of the photographs of 200 captions, five each, and predictions of them."""
    rng = np.random.default_rng(0)
    y_true = np.repeat(rng.normal(size=(40, 8)), 5, axis=0)
    return y_true, y_true + 2 * rng.normal(size=y_true.shape)


def test_curve_of_predictions_is_what_the_scorers_say(predictions, ax):
    display = RecallCurveDisplay.from_predictions(*predictions, n_resamples=50, ax=ax)
    assert display.ks[-1] == 40
    for k, recall in zip(display.ks, display.recall):
        assert recall == pytest.approx(recall_at_k_score(*predictions, k=k))
    assert (display.low <= display.recall).all()
    assert (display.recall <= display.high).all()


def test_histogram_of_predictions(predictions, ax):
    display = RankHistogramDisplay.from_predictions(*predictions, bins_per_decade=20, ax=ax)
    assert display.share[0] == pytest.approx(recall_at_k_score(*predictions, k=1))
    # Of 40 photographs each rank up to 8 has a bin of its own, and the others lie between the ends of theirs.
    ranks = np.asarray(display.edges[1:])
    first = display.edges[:-1] + 1
    mrr = mean_reciprocal_rank_score(*predictions)
    assert (display.share / ranks).sum() <= mrr <= (display.share / first).sum()


@pytest.mark.parametrize("display", [RankHistogramDisplay, RecallCurveDisplay])
def test_estimator_is_asked_for_its_predictions(predictions, display):
    y, X = predictions
    model = LinearRegression().fit(X, y)
    drawn = display.from_estimator(model, X, y, ax=Figure().subplots())
    expected = display.from_predictions(y, model.predict(X), ax=Figure().subplots())
    for name in ("recall", "share"):
        np.testing.assert_array_equal(getattr(drawn, name, 0), getattr(expected, name, 0))


def test_predictions_of_another_shape(predictions, ax):
    with pytest.raises(ValueError, match=r"y_true has shape \(200, 8\) but y_pred has shape \(200, 7\)"):
        RecallCurveDisplay.from_predictions(predictions[0], predictions[1][:, :7], ax=ax)


# Comparison of models


def test_comparison_shows_recall_interval_and_chance_of_each(ax):
    rng = np.random.default_rng(0)
    reports = {"words": report_of(rng.integers(1, 90, 80)), "sentences": report_of(rng.integers(1, 30, 80))}
    options = {"level": 0.8, "n_resamples": 50, "random_state": 1}
    display = RecallComparisonDisplay.from_reports(reports, ks=(1, 5, 20), **options, ax=ax)
    for name, row, bars in zip(reports, range(2), display.bars_):
        expected = [reports[name].recall_at(k) for k in (1, 5, 20)]
        assert [bar.get_height() for bar in bars] == expected
        low, high = reports[name].recall_interval((1, 5, 20), **options)
        np.testing.assert_array_equal([display.low[row], display.high[row]], [low, high])
    texts = {text.get_text() for text in ax.get_legend().get_texts()}
    assert texts == {"words", "sentences", "chance"}
    chance = next(lines for lines in ax.collections if lines.get_label() == "chance")
    assert [segment[0, 1] for segment in chance.get_segments()] == [1 / 200, 5 / 200, 20 / 200]
    edges = edges_of_bars(display.bars_)
    np.testing.assert_allclose(np.reshape(edges, (3, 4)).mean(axis=1), ax.get_xticks(), atol=1e-12)
    bottom, top = ax.get_ylim()
    assert bottom == 0
    assert top > display.high.max()


def test_comparison_of_estimators(predictions, ax):
    y, X = predictions
    models = {"one": LinearRegression().fit(X[:50], y[:50]), "two": LinearRegression().fit(X, y)}
    display = RecallComparisonDisplay.from_estimators(models, X, y, ks=(1, 3), n_resamples=20, ax=ax)
    expected = [[recall_at_k_score(y, model.predict(X), k=k) for k in (1, 3)] for model in models.values()]
    np.testing.assert_allclose(display.recall, expected)


@pytest.mark.parametrize("sizes", [(), (200, 100)])
def test_only_what_is_comparable_is_compared(sizes):
    reports = {f"of {size}": report_of([1, 2], n_gallery=size) for size in sizes}
    with pytest.raises(ValueError, match=r"reports are of galleries of the sizes .* the same photographs"):
        RecallComparisonDisplay.from_reports(reports)


# Calibration


@pytest.fixture
def confidence():
    """Return probabilities that are true, what came true, and the photograph of each."""
    rng = np.random.default_rng(0)
    stated = rng.uniform(size=4000) ** 2
    return rng.uniform(size=4000) < stated, stated, np.repeat(np.arange(800), 5)


def test_calibrated_probabilities_lie_on_the_diagonal(confidence, ax):
    right, stated, photograph = confidence
    display = CalibrationCurveDisplay.from_predictions(right, stated, groups=photograph, ax=ax)
    assert display.share.sum() == pytest.approx(1)
    np.testing.assert_allclose(display.came_true, display.stated, atol=0.08)
    assert ((display.low <= display.stated) & (display.stated <= display.high)).sum() >= 8
    for i in range(10):
        inside = (stated >= i / 10) & (stated < (i + 1) / 10)
        assert display.stated[i] == pytest.approx(stated[inside].mean())
        assert display.came_true[i] == pytest.approx(right[inside].mean())
        assert display.share[i] == pytest.approx(inside.mean())
    assert ax.get_title(loc="left").endswith(f"{expected_calibration_error(stated, right):.3f}")
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["share of the answers", "perfectly calibrated", "answers"]


def test_answers_that_stand_and_fall_together_make_the_intervals_wider(confidence):
    right, stated, photograph = confidence
    together = right[::5].repeat(5), stated[::5].repeat(5)
    apart, grouped = (
        CalibrationCurveDisplay.from_predictions(*together, groups=groups, ax=Figure().subplots())
        for groups in (None, photograph)
    )
    assert ((grouped.high - grouped.low) > 1.6 * (apart.high - apart.low)).mean() >= 0.8


@pytest.mark.parametrize(("min_answers", "filled"), [(1, [0, 2, 9]), (2, [0, 9]), (3, [9])])
def test_bins_with_few_answers_are_left_out(min_answers, filled, ax):
    stated = [0.95, 1.0, 0.99, 0.04, 0.02, 0.25]
    display = CalibrationCurveDisplay.from_predictions(
        [True, False, True, False, False, True], stated, min_answers=min_answers, ax=ax
    )
    assert np.flatnonzero(np.isfinite(display.came_true)).tolist() == filled
    np.testing.assert_allclose(display.line_.get_xdata()[-1], 0.98)
    np.testing.assert_allclose(display.line_.get_ydata()[-1], 2 / 3)
    assert display.share.sum() == pytest.approx(1)
    display.figure_.canvas.draw()


def test_calibration_of_a_report(confidence, ax):
    right, stated, photograph = confidence
    report = RetrievalReport(1 - right, np.ones(4000, int), (1,), 800, photograph.tolist(), confidence=stated)
    display = CalibrationCurveDisplay.from_report(report, n_bins=4, ax=ax)
    expected = CalibrationCurveDisplay.from_predictions(
        right, stated, groups=photograph, n_bins=4, ax=Figure().subplots()
    )
    np.testing.assert_array_equal(display.low, expected.low)
    assert display.calibration_error == report.calibration_error
    with pytest.raises(ValueError, match=r"report.confidence is None: fit the search with calibration_share"):
        CalibrationCurveDisplay.from_report(report_of([1, 2]))


# Hubness


@pytest.mark.parametrize("hubness", [None, "csls"])
def test_hubness_of_an_index(hubness, ax):
    rng = np.random.default_rng(0)
    gallery, queries = rng.normal(size=(60, 30)), rng.normal(size=(300, 30)) + 0.5
    index = ImageIndex(hubness=hubness).fit(gallery, bank=None if hubness is None else queries)
    display = HubnessDisplay.from_index(index, queries, k=5, ax=ax)
    assert display.counts.sum() == 60 * 5
    shown = {bars.get_label(): sum(bar.get_height() for bar in bars) for bars in ax.containers}
    assert list(shown.values()) == pytest.approx([1] * len(shown))
    assert len(edges_of_bars(ax.containers)) == len(shown) * len(ax.get_xticks())
    if hubness is None:
        assert display.uncorrected is None
        assert len(shown) == 1
    else:
        factors = index.score_factors(queries[np.linspace(0, 299, 60).astype(int)])
        np.testing.assert_array_equal(display.counts, k_occurrence(*factors[:2], 5, bias=factors[2]))
        np.testing.assert_array_equal(display.uncorrected, k_occurrence(*factors[:2], 5))
        skewness = k_occurrence_skewness(display.uncorrected)
        assert next(iter(shown)) == f"uncorrected, skewness {skewness:.2f}"
        assert skewness > k_occurrence_skewness(display.counts)


def test_hubness_puts_every_photograph_into_the_bin_of_its_count(ax):
    counts = np.array([0, 0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 55])
    HubnessDisplay(counts, k=10).plot(ax)
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == ["0", "1", "2", "3–4", "5–8", "9–16", "17–32", "33–64"]
    np.testing.assert_allclose(
        [bar.get_height() * 12 for bar in ax.containers[0]], [2, 1, 1, 2, 2, 2, 1, 1], atol=1e-12
    )
    (chance,) = (lines for lines in ax.collections if lines.get_label() == "by chance")
    model = binom(counts.sum() // 10, 10 / 12)
    expected = [model.pmf(range(first, last + 1)).sum() for first, last in [(0, 0), (9, 16)]]
    heights = [segment[0, 1] for segment in chance.get_segments()]
    np.testing.assert_allclose([heights[0], heights[5]], expected, atol=1e-12)
    middles = [np.mean(segment[:, 0]) for segment in chance.get_segments()]
    np.testing.assert_allclose(middles, ax.get_xticks(), atol=1e-12)


def test_hubness_and_calibration_of_a_search(captioned):
    captions, descriptors = captioned
    search = TextImageSearch(regressor=TextToVisualRegressor()).fit(descriptors[:240], captions[:240])
    search.add(descriptors[240:])
    report = search.evaluate(descriptors[240:], captions[240:])
    sentences = [sentence for own in captions[240:] for sentence in own]
    hubness = HubnessDisplay.from_estimator(search, sentences, ax=Figure().subplots())
    assert k_occurrence_skewness(hubness.counts) == pytest.approx(report.hubness)
    assert k_occurrence_skewness(hubness.uncorrected) == pytest.approx(report.hubness_uncorrected)
    curve = CalibrationCurveDisplay.from_estimator(
        search, descriptors[240:], captions[240:], ax=Figure().subplots()
    )
    assert curve.calibration_error == pytest.approx(report.calibration_error)


# Map of a gallery


def test_map_gives_every_photograph_a_square_of_its_own(ax):
    rng = np.random.default_rng(0)
    photos = [picture(colour=colour) for colour in rng.integers(0, 255, size=(23, 3))]
    display = GalleryMapDisplay.from_descriptors(rng.normal(size=(23, 5)), photos, aspect=2, ax=ax)
    assert len({tuple(cell) for cell in display.cells.tolist()}) == 23
    assert display.cells.max(axis=0).tolist() == [6, 3]
    (page,) = (np.asarray(image.get_array()) for image in ax.images)
    pitch = page.shape[0] / 4
    assert page.shape[1] / 7 == pitch
    for (column, row), photo in zip(display.cells, photos):
        for at in (0.05, 0.45):  # it is cropped to a square, so that it reaches the edges
            pixel = page[int((row + at) * pitch), int((column + at) * pitch)]
            np.testing.assert_array_equal(pixel, photo[0, 0])


def test_map_of_what_is_a_grid_already(ax):
    grid = np.stack(np.meshgrid(np.arange(5), np.arange(4)), axis=-1).reshape(-1, 2)
    order = np.random.default_rng(0).permutation(20)
    tilted = (grid * [2.0, 1.0])[order] @ [[0.8, 0.6], [-0.6, 0.8]]
    display = GalleryMapDisplay.from_descriptors(
        tilted, [picture()] * 20, projection=PCA(2), aspect=5 / 4, ax=ax
    )
    for axis in (0, 1):
        moved = display.cells[:, axis]
        assert (moved == grid[order][:, axis]).all() or (
            moved == grid[:, axis].max() - grid[order][:, axis]
        ).all()


def test_map_is_the_same_at_any_scale():
    points = np.random.default_rng(0).normal(size=(20, 2))
    large, small = (
        GalleryMapDisplay.from_descriptors(
            scale * points, [picture()] * 20, projection=PCA(2), ax=Figure().subplots()
        )
        for scale in (1, 0.01)
    )
    np.testing.assert_array_equal(large.cells, small.cells)


def test_map_keeps_groups_together(ax):
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 32)
    descriptors = rng.normal(size=(64, 10)) + 20 * np.eye(10)[group]
    cells = GalleryMapDisplay.from_descriptors(descriptors, [picture()] * 64, aspect=1, ax=ax).cells
    ways = np.abs(cells[:, None] - cells).sum(axis=2)
    same = [group[i] == group[j] for i, j in zip(*np.nonzero(ways == 1))]
    assert np.mean(same) > 0.85


def test_map_of_more_photographs_than_it_can_show(ax):
    descriptors = np.random.default_rng(0).normal(size=(50, 4))
    descriptors[::2] = np.nan
    photos = [picture(colour=(i, i, i)) for i in range(50)]
    display = GalleryMapDisplay.from_descriptors(descriptors, photos, max_photos=10, ax=ax)
    shown = [photo[0, 0, 0] for photo in display.photos]
    assert len(shown) == 10
    assert all(number % 2 for number in shown)
    assert (shown[0], shown[-1]) == (1, 49)


def test_map_asks_the_estimator_for_descriptors(ax):
    class Brightness:
        def transform(self, photos):
            return [[photo.mean(), 1.0] for photo in photos]

    photos = [picture(colour=(i, i, i)) for i in range(0, 200, 40)]
    display = GalleryMapDisplay.from_estimator(Brightness(), photos, projection=PCA(2), aspect=5, ax=ax)
    columns = display.cells[:, 0].tolist()
    assert columns in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0])


def test_map_that_cannot_be_drawn():
    with pytest.raises(ValueError, match=r"descriptors has shape \(4, 2\) but there are 5 photos"):
        GalleryMapDisplay.from_descriptors(np.ones((4, 2)), [picture()] * 5)
    with pytest.raises(ValueError, match=r"at least 3 photographs with descriptors, but there are 2"):
        GalleryMapDisplay.from_descriptors(np.ones((2, 2)), [picture()] * 2)


# Contact sheet


def test_sheet_shows_texts_pictures_and_the_right_one():
    red, blue = picture(), picture(colour=(20, 20, 220))
    figure = contact_sheet(
        [
            ("un gato", [(red, "1 · 0.9", False), (blue, "2 · 0.8", True)]),
            ("un café", [(blue, "1 · 0.7", None)]),
        ],
        title="Hits",
    )
    texts, images = drawn(figure)
    assert texts == ["Hits", "un gato", "1 · 0.9", "2 · 0.8", "un café", "1 · 0.7"]
    np.testing.assert_array_equal([image[0, 0] for image in images], [red[0, 0], blue[0, 0], blue[0, 0]])
    (frame,) = frames(figure)
    left, right, bottom, top = figure.axes[0].images[1].get_extent()
    assert frame.get_x() < left < right < frame.get_x() + frame.get_width()
    assert frame.get_y() < top < bottom < frame.get_y() + frame.get_height()


@pytest.mark.parametrize("n_rows", [1, 2, 40])
def test_sheet_keeps_its_parts_apart(n_rows):
    figure = contact_sheet(
        [("una frase muy larga " * 20, [(picture(), "W" * 80, False)] * 3)] * n_rows,
        thumbnail_width=1,
        dpi=60,
    )
    figure.canvas.draw()
    (ax,) = figure.axes
    page = figure.bbox
    boxes = [artist.get_window_extent() for artist in (*ax.texts, *ax.images)]
    assert len(boxes) == n_rows * (2 + 3 + 3)
    assert all(
        page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1 for box in boxes
    )
    for i, box in enumerate(boxes):
        for other in boxes[i + 1 : i + 20]:
            assert min(box.x1, other.x1) <= max(box.x0, other.x0) or min(box.y1, other.y1) <= max(
                box.y0, other.y0
            )
    assert len({(round(box.width), round(box.height)) for box in boxes[-3 * n_rows :]}) == 1


@pytest.mark.parametrize("crop", [True, False])
@pytest.mark.parametrize("shape", [(10, 300), (300, 10), (1, 1), (90, 120)])
def test_thumbnails_are_uniform(shape, crop):
    images = drawn(contact_sheet([("x", [(picture(*shape), "", None)])], crop=crop, dpi=100))[1]
    assert images[0].shape == (150, 200, 3)
    share_of_red = np.mean(images[0][..., 2] < 100)
    assert share_of_red == 1 if crop or shape == (90, 120) else share_of_red < 1


@pytest.mark.parametrize(
    "image",
    [
        np.full((8, 8), 255, np.uint8),
        np.ones((8, 8)),
        np.ones((8, 8, 3), np.float32),
        np.dstack([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)]),
        PIL_Image.new("L", (8, 8), 255),
        PIL_Image.new("P", (8, 8), 255).convert("P"),
        PIL_Image.new("CMYK", (8, 8)),
    ],
    ids=["grey", "float grey", "float", "transparent", "L", "P", "CMYK"],
)
def test_images_of_any_kind(image):
    (thumbnail,) = drawn(contact_sheet([("x", [(image, "", None)])]))[1]
    assert thumbnail.shape[2] == 3
    if getattr(image, "mode", "") != "P":
        assert (thumbnail == 255).all()


def test_files_are_turned_upright(tmp_path):
    sideways = np.zeros((30, 40, 3), np.uint8)
    sideways[:, :20] = 255
    exif = PIL_Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: the left half becomes the upper half
    PIL_Image.fromarray(sideways).save(tmp_path / "photo.png", exif=exif)
    for path in (tmp_path / "photo.png", str(tmp_path / "photo.png")):
        (thumbnail,) = drawn(contact_sheet([("x", [(path, "", None)])], crop=False))[1]
        middle = thumbnail.shape[1] // 2
        assert (thumbnail[5, middle] == 255).all()
        assert (thumbnail[-5, middle] == 0).all()


def test_text_is_shown_as_written():
    row = ("žluťoučký kůň\ncuesta $5 a $6^2", [(picture(), "cafe\u0301_1.jpg\t$x$", True)])
    figure = contact_sheet([row], thumbnail_width=5)
    figure.canvas.draw()
    assert drawn(figure)[0] == ["žluťoučký kůň cuesta $5 a $6^2", "café_1.jpg $x$"]
    assert not any(text.get_parse_math() for text in figure.axes[0].texts)


def test_long_text_is_cut_with_an_ellipsis():
    texts = drawn(contact_sheet([("palabra " * 100, [(picture(), "x" * 500, None)])]))[0]
    assert len(texts) == 3
    assert not texts[0].endswith("…")
    assert texts[1].endswith("…")
    assert texts[2].endswith("…")


def test_query_without_hits():
    figure = contact_sheet([("nothing found", []), ("a cat", [(picture(), "1", True)])])
    assert drawn(figure)[0] == ["nothing found", "a cat", "1"]


def test_sheet_is_saved_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "sheet.png"
    row = ("un gato", [(picture(), "1", True)])
    contact_sheet([row], path)
    with PIL_Image.open(path) as image:
        assert image.format == "PNG"
    before = path.read_bytes()

    def torn(self, stream, **options):
        stream.write(b"half a picture")
        raise OSError("no space left")

    monkeypatch.setattr(Figure, "savefig", torn)
    with pytest.raises(OSError, match="no space left"):
        contact_sheet([row], path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["sheet.png"]


def test_sheet_leaves_pyplot_alone(tmp_path):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    before = pyplot.get_fignums()
    contact_sheet([("x", [(picture(), "", None)])], tmp_path / "sheet.svg")
    assert pyplot.get_fignums() == before
    assert "<svg" in (tmp_path / "sheet.svg").read_text()


@pytest.mark.parametrize("content", [None, b"", b"not a photograph"])
def test_file_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "bad.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadablePhotographError, match=r"cannot read the photograph .*bad\.jpg"):
        contact_sheet([("x", [(path, "", None)])])


def test_postscript_which_pillow_has_another_program_draw_is_not_opened(tmp_path):
    path = tmp_path / "drawing.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(UnreadablePhotographError, match="cannot identify image file"):
        contact_sheet([("x", [(path, "", None)])])


def test_truncated_file(tmp_path):
    path = tmp_path / "half.jpg"
    PIL_Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UnreadablePhotographError, match=r"half\.jpg"):
        contact_sheet([("x", [(path, "", None)])])


@pytest.mark.parametrize(
    "image", [np.full((4, 4, 3), 700), np.full((4, 4), -0.5), np.zeros((4, 4, 2), np.uint8)]
)
def test_array_that_is_no_image(image):
    with pytest.raises(ValueError, match=r"an image is an array of shape .* must be"):
        contact_sheet([("x", [(image, "", None)])])


def test_rows_that_do_not_fit():
    with pytest.raises(ValueError, match="rows is empty"):
        contact_sheet([])
    with pytest.raises(ValueError, match=r"rows\[1\] is a str"):
        contact_sheet([("x", []), "un gato"])
    with pytest.raises(ValueError, match=r"rows\[0\] is a tuple"):
        contact_sheet([("x", [(picture(), "no third")])])


def test_without_matplotlib(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)

    class NoMatplotlib:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name.split(".")[0] == "matplotlib":
                raise ModuleNotFoundError(f"No module named {name!r}", name="matplotlib")

    monkeypatch.setattr(sys, "meta_path", [NoMatplotlib, *sys.meta_path])
    for draw in (report_of([1]).plot, lambda: contact_sheet([("x", [])])):
        with pytest.raises(MissingExtraError, match=r'pip install "txt2img\[plot\]"'):
            draw()
