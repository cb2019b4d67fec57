"""scikit-learn's callbacks are told of epochs and batches, through pipelines and searches."""

import numpy as np
import pytest
from conftest import mean_colour
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from txt2img import (
    CaptionVectorizer,
    DescriptorWhitener,
    ImageFeaturizer,
    ImageIndex,
    SentenceVectorizer,
    TextToVisualRegressor,
)
from txt2img.evaluation import recall_at_5
from txt2img.mapping import MapEnsemble, VisualMap
from txt2img.mapping.network import Network
from txt2img.persistence import load, save

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn before 1.9 has no callbacks")


class Recorder:
    """Notes what it is told, and stops the epochs after some of them."""

    max_propagation_depth = None

    def __init__(self, n_epochs=None):
        self.n_epochs = n_epochs
        self.begun, self.ended, self.models = [], [], []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(named(context))

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        self.ended.append(named(context))
        self.models.append(fitted_estimator)
        return context.task_name == "epoch" and context.task_id + 1 == self.n_epochs


def named(context):
    return f"{context.estimator_name} {context.task_name} {context.task_id}"


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 6)).astype(np.float32)
    return X, (X @ rng.normal(size=(6, 3)) + 1).astype(np.float32)


def network(**parameters):
    return TextToVisualRegressor(
        "network", hidden=4, epochs=3, learning_rate=0.05, random_state=0, **parameters
    )


def test_every_epoch_of_the_network_is_a_task(data):
    X, Y = data
    recorder = Recorder()
    fitted = network().set_callbacks(recorder).fit(X, Y)
    epochs = [f"TextToVisualRegressor epoch {i}" for i in range(3)]
    assert recorder.begun == ["TextToVisualRegressor fit 0", *epochs]
    assert recorder.ended == [*epochs, "TextToVisualRegressor fit 0"]
    errors = [np.square(model.predict(X) - Y).mean() for model in recorder.models]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] == errors[-2] == np.square(fitted.predict(X) - Y).mean()
    assert np.array_equal(network().fit(X, Y).predict(X), fitted.predict(X))


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_callback_ends_training(data, early_stopping):
    fitted = network(early_stopping=early_stopping).set_callbacks(Recorder(2)).fit(*data)
    shorter = network(early_stopping=early_stopping).set_params(epochs=2).fit(*data)
    assert fitted.losses_ == shorter.losses_
    assert np.array_equal(fitted.predict(data[0]), shorter.predict(data[0]))


def coefficient_of_determination(estimator, X, y, sample_weight=None):
    return {"R2": estimator.score(X, y, sample_weight)}


@pytest.mark.parametrize("weight", [None, np.arange(40) % 3])
@pytest.mark.parametrize("loss", ["mse", "infonce"])
def test_scoring_monitor_scores_every_epoch(data, loss, weight):
    monitor = callback.ScoringMonitor(scoring=coefficient_of_determination)
    fitted = network(loss=loss, n_components=3).set_callbacks(monitor).fit(*data, sample_weight=weight)
    rows = monitor.get_logs().data
    assert [row["task_name"] for row in rows] == ["fit", "epoch", "epoch", "epoch"]
    assert rows[0]["R2"] == rows[-1]["R2"] == fitted.score(*data, weight) != rows[1]["R2"]


def test_scoring_monitor_takes_a_scorer_of_recall(data):
    monitor = callback.ScoringMonitor(scoring=recall_at_5)
    fitted = network().set_callbacks(monitor).fit(*data)
    assert monitor.get_logs().data[-1]["score"] == recall_at_5(fitted, *data)


def lengths(items):
    return np.ones((len(items), 2))


def estimators():
    captions = ["a red ball", "a green tree", "a red tree", "a ball"]
    rows = np.random.default_rng(0).normal(size=(4, 3))
    for estimator in (CaptionVectorizer(min_df=1), SentenceVectorizer(lengths)):
        yield estimator, captions
    yield ImageFeaturizer(mean_colour), [np.full((40, 50, 3), i, np.uint8) for i in range(4)]
    for estimator in (
        DescriptorWhitener(),
        VisualMap([None]),
        ImageIndex(),
        TextToVisualRegressor(),
        MapEnsemble([("ridge", TextToVisualRegressor())]),
    ):
        yield estimator, rows


@pytest.mark.parametrize(
    ("estimator", "X"), [pytest.param(*each, id=type(each[0]).__name__) for each in estimators()]
)
def test_every_part_of_a_pipeline_tells_of_its_fit(estimator, X, tmp_path):
    recorder = Recorder()
    y = np.random.default_rng(1).normal(size=(4, 3))
    pipeline = make_pipeline(clone(estimator)).set_callbacks(recorder).fit(X, y)
    name = type(estimator).__name__
    assert recorder.begun[:2] == ["Pipeline fit 0", f"{name} fit 0"]
    assert recorder.ended[-2:] == [f"{name} fit 0", "Pipeline fit 0"]
    assert sorted(recorder.begun) == sorted(recorder.ended)
    assert vars(pipeline[-1]).keys() == vars(clone(estimator).fit(X, y)).keys()
    if name not in ("SentenceVectorizer", "ImageFeaturizer"):  # which hold functions here
        save(pipeline, tmp_path / "saved")
        assert not hasattr(load(tmp_path / "saved"), "_skl_callbacks")


def test_an_ensemble_passes_callbacks_on_to_its_maps(data):
    recorder = Recorder()
    MapEnsemble([("ridge", TextToVisualRegressor()), ("net", network())]).set_callbacks(recorder).fit(*data)
    assert recorder.ended == [
        "TextToVisualRegressor fit 0",
        *(f"TextToVisualRegressor epoch {i}" for i in range(3)),
        "TextToVisualRegressor fit 1",
        "MapEnsemble fit 0",
    ]


def test_batches_of_photographs_are_tasks():
    recorder = Recorder()
    photos = [np.full((40, 50, 3), i, np.uint8) for i in range(7)]
    featurizer = ImageFeaturizer(mean_colour, batch_size=3).set_callbacks(recorder)
    descriptors = featurizer.fit_transform(photos)
    batches = [f"ImageFeaturizer batch {i}" for i in range(3)]
    assert recorder.begun == ["ImageFeaturizer fit_transform 0", *batches]
    assert recorder.ended == [*batches, "ImageFeaturizer fit_transform 0"]
    assert np.array_equal(descriptors, clone(featurizer).set_callbacks().fit(photos).transform(photos))


def test_a_progress_bar_shows_the_epochs_of_each_step(data, capsys, monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setenv("COLUMNS", "150")
    bar = callback.ProgressBar(max_propagation_depth=None)
    make_pipeline(DescriptorWhitener(), network()).set_callbacks(bar).fit(*data)
    shown = capsys.readouterr().out
    assert "Pipeline - fit " in shown and "DescriptorWhitener - fit #0" in shown
    assert "TextToVisualRegressor - fit #1" in shown and shown.count("100%") == 3


def test_without_callbacks_an_epoch_costs_nothing_more(data, monkeypatch):
    """The weights of the layers are not even copied for models that nobody asks for."""
    copies = []
    weights = Network.weights
    monkeypatch.setattr(Network, "weights", lambda self: copies.append(1) or weights(self))
    network().fit(*data)
    assert len(copies) == 1
