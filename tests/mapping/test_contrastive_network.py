import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import normalize

from txt2img import DescriptorWhitener, ImageIndex, TextToVisualRegressor
from txt2img.mapping.inputs import Examples

N_PHOTOS, PER_PHOTO, N_WORDS, WIDTH = 60, 3, 40, 12


def make_data(seed=0):
    """Sparse captions of photographs whose descriptors are a linear function of hidden topics, and noise."""
    rng = np.random.default_rng(seed)
    topics = rng.normal(size=(N_PHOTOS, 4))
    photograph = np.repeat(np.arange(N_PHOTOS), PER_PHOTO)
    words = np.maximum(topics[photograph] @ np.random.default_rng(9).normal(size=(4, N_WORDS)) - 2, 0)
    X = normalize(words * rng.uniform(0.5, 1.5, words.shape) + 0.01 * (rng.random(words.shape) < 0.05))
    Y = topics @ np.random.default_rng(8).normal(size=(4, WIDTH)) + 2 * rng.normal(size=(N_PHOTOS, WIDTH))
    return sp.csr_matrix(X.astype(np.float32)), Y.astype(np.float32), photograph


def contrastive(loss="infonce", **parameters):
    return TextToVisualRegressor(
        "network",
        **{"loss": loss, "hidden": None, "n_components": 8, "learning_rate": 1e-2, "epochs": 20}
        | {"random_state": 0}
        | parameters,
    )


def recall_at_5(regressor, X, Y, photograph):
    seen = Y if regressor.visual_map_ is None else regressor.visual_map_.transform(Y)
    index = ImageIndex().fit(seen)
    found = index.kneighbors(regressor.predict(X), 5, return_distance=False)
    return np.mean([right in row for right, row in zip(photograph, found)])


@pytest.mark.parametrize("loss", ["cosine", "infonce", "hinge"])
def test_every_loss_falls_and_finds_photographs(loss):
    X, Y, photograph = make_data()
    fitted = contrastive(loss).fit(X, Y[photograph])
    assert fitted.losses_[-1] < 0.8 * fitted.losses_[0]
    assert recall_at_5(fitted, X, Y, photograph) > 0.4  # chance is 0.08


@pytest.mark.parametrize("loss", ["infonce", "hinge"])
def test_the_visual_map_learns_to_leave_noise_out(loss):
    X, Y, photograph = make_data()
    rng = np.random.default_rng(5)
    noisy = np.hstack([Y, 6 * rng.normal(size=(N_PHOTOS, WIDTH))]).astype(np.float32)
    fitted = contrastive(loss, n_components=2 * WIDTH, epochs=40).fit(X, noisy[photograph])
    (matrix,) = fitted.visual_map_.matrices
    assert matrix.shape == (2 * WIDTH, 2 * WIDTH)
    assert np.linalg.norm(matrix[WIDTH:]) < 0.9 * np.linalg.norm(matrix[:WIDTH])


def test_predictions_and_descriptors_meet_in_a_plain_pipeline():
    X, Y, photograph = make_data()
    whitener = DescriptorWhitener(n_components=10).fit(Y)
    regressor = contrastive().fit(X, whitener.transform(Y)[photograph])
    visual = make_pipeline(whitener, regressor.visual_map_)
    assert_allclose(
        visual.transform(Y), normalize(whitener.transform(Y) @ regressor.visual_map_.matrices[0]), atol=1e-5
    )
    assert visual.transform(Y).shape[1] == regressor.predict(X).shape[1] == 8
    assert len(visual.get_feature_names_out()) == 8


def test_groups_keep_captions_of_a_photograph_together_where_descriptors_do_not():
    X, Y, photograph = make_data()
    jittered = Y[photograph] + 1e-6 * np.arange(len(photograph), dtype=np.float32)[:, None]
    by_group = contrastive("hinge").fit(X, jittered, groups=photograph)
    by_descriptor = contrastive("hinge").fit(X, Y[photograph])
    alone = contrastive("hinge").fit(X, jittered)
    assert_allclose(by_group.losses_, by_descriptor.losses_, rtol=1e-3)
    assert not np.allclose(alone.losses_, by_descriptor.losses_, rtol=1e-3)


def test_sparse_captions_beside_an_embedding_train_as_a_dense_matrix_does():
    X, Y, photograph = make_data()
    embedding = np.random.default_rng(1).normal(size=(X.shape[0], 6)).astype(np.float32)
    both = sp.csr_matrix(sp.hstack([X[:, :20], embedding, X[:, 20:]]))
    sparse, dense = (contrastive(epochs=3).fit(each, Y[photograph]) for each in (both, both.toarray()))
    assert_allclose(sparse.losses_, dense.losses_, rtol=1e-4)
    assert_allclose(sparse.predict(both), dense.predict(both.toarray()), atol=1e-3)


def test_dropout_leaves_out_the_share_asked_for_in_training_only():
    X, Y, photograph = make_data()
    none, some = (contrastive(dropout=dropout, epochs=3).fit(X, Y[photograph]) for dropout in (0, 0.5))
    assert some.losses_[-1] > none.losses_[-1]
    assert_array_equal(some.predict(X), some.predict(X))
    # With steps too small to learn from, the mean over epochs of a linear network's output is unchanged.
    ones = np.ones((4000, 1), np.float32)
    still = {"loss": "mse", "learning_rate": 1e-30, "epochs": 1, "batch_size": 4000}
    plain = contrastive(**still).fit(ones, ones[:, 0])
    dropped = contrastive(dropout=0.25, **still).fit(ones, ones[:, 0])
    weight, intercept = plain.coefs_[0].item(), plain.intercepts_[0].item()
    kept = (weight / 0.75 + intercept - 1) ** 2
    left_out = (intercept - 1) ** 2
    assert_allclose(dropped.losses_[0], 0.75 * kept + 0.25 * left_out, rtol=0.05)


def test_early_stopping_keeps_the_best_epoch_and_sets_whole_photographs_aside():
    X, Y, photograph = make_data()
    rng = np.random.default_rng(0)
    noise = sp.csr_matrix(rng.random(X.shape).astype(np.float32))  # nothing to learn: it can only overfit
    stopped = contrastive(early_stopping=True, validation_fraction=0.3, epochs=200).fit(noise, Y[photograph])
    n_epochs = len(stopped.losses_)
    assert n_epochs == len(stopped.validation_losses_) < 200
    best = int(np.argmin(stopped.validation_losses_))
    assert n_epochs - 1 - best == stopped.n_iter_no_change
    again = clone(stopped).set_params(epochs=best + 1).fit(noise, Y[photograph])
    assert_array_equal(again.predict(noise), stopped.predict(noise))

    examples = Examples(noise, Y[photograph], photograph, np.arange(len(photograph)))
    learned, aside = examples.set_aside(0.3, np.random.RandomState(0))
    assert len(np.unique(aside.photograph)) == 18
    assert set(aside.photograph).isdisjoint(learned.photograph)
    assert sorted([*learned.weight, *aside.weight]) == list(range(len(photograph)))


def test_early_stopping_needs_two_photographs():
    X, Y, _ = make_data()
    with pytest.raises(ValueError, match="early_stopping=True sets photographs aside"):
        contrastive(early_stopping=True).fit(X[:3], Y[[0, 0, 0]])


@pytest.mark.parametrize("loss", ["mse", "infonce"])
def test_partial_fit_goes_on_from_the_weights_there_are(loss):
    X, Y, photograph = make_data()
    together = contrastive(loss, epochs=5).fit(X, Y[photograph])
    in_parts = contrastive(loss)
    for _ in range(5):
        in_parts.partial_fit(X, Y[photograph])
    assert_allclose(in_parts.losses_, together.losses_, rtol=1e-5)
    assert_allclose(in_parts.predict(X), together.predict(X), atol=1e-5)

    copied = pickle.loads(pickle.dumps(in_parts))
    assert_array_equal(copied.predict(X), in_parts.predict(X))
    copied.partial_fit(X, Y[photograph])
    assert copied.losses_[5] < together.losses_[0]
    assert len(pickle.dumps(in_parts)) < 3 * sum(each.nbytes for each in in_parts.coefs_) + 10_000


def test_ridge_in_parts_equals_ridge_on_all():
    X, Y, photograph = make_data()
    targets = Y[photograph]
    whole = TextToVisualRegressor(alpha=2.0).fit(X, targets)
    parts = TextToVisualRegressor(alpha=2.0)
    for rows in np.array_split(np.arange(len(targets)), 4):
        parts.partial_fit(X[rows], targets[rows])
    assert_allclose(parts.predict(X), whole.predict(X), atol=1e-3)
    whole.partial_fit(X[:90], targets[:90])
    alone = TextToVisualRegressor(alpha=2.0).fit(X[:90], targets[:90])
    assert_allclose(whole.predict(X), alone.predict(X), atol=1e-3)
    with pytest.raises(ValueError, match="alpha='auto' cannot be chosen by partial_fit"):
        TextToVisualRegressor(alpha="auto").partial_fit(X, targets)


def test_partial_fit_goes_on_with_the_other_solver():
    X, Y, photograph = make_data()
    ridge = TextToVisualRegressor(alpha=2.0).fit(X, Y[photograph])
    changed = TextToVisualRegressor(alpha=2.0).partial_fit(X, Y[photograph])
    changed.set_params(solver="network", hidden=None, learning_rate=1e-9).partial_fit(X, Y[photograph])
    assert_allclose(changed.coefs_[0], ridge.coefs_[0], atol=1e-5)
    changed.set_params(solver="ridge").partial_fit(X, Y[photograph])
    assert_array_equal(changed.predict(X), ridge.predict(X))


def test_alpha_is_chosen_by_photographs_left_out():
    X, Y, photograph = make_data()
    chosen = TextToVisualRegressor(alpha=[1e-3, 0.1, 10, 1e4]).fit(X, Y[photograph], groups=photograph)
    folds = np.arange(N_PHOTOS)
    errors = []
    for alpha in chosen.alpha:
        total = 0.0
        for fold in folds:
            held = photograph == fold
            fitted = TextToVisualRegressor(alpha=alpha).fit(X[~held], Y[photograph[~held]])
            total += ((fitted.predict(X[held]) - Y[fold]) ** 2).sum()
        errors.append(total / Y[photograph].size)
    assert_allclose(chosen.alpha_scores_, errors, rtol=1e-2)
    assert chosen.alpha_ == chosen.alpha[int(np.argmin(errors))]
    assert_allclose(
        chosen.predict(X),
        TextToVisualRegressor(alpha=chosen.alpha_).fit(X, Y[photograph]).predict(X),
        atol=1e-4,
    )


@pytest.mark.parametrize("alpha", [[], [1, 0], [-1], [np.nan], [[1.0]]])
def test_alphas_that_are_none_are_refused(alpha):
    X, Y, photograph = make_data()
    with pytest.raises(ValueError, match="alpha="):
        TextToVisualRegressor(alpha=alpha).fit(X, Y[photograph])


def test_one_cycle_ends_at_a_standstill():
    X, Y, photograph = make_data()
    short, long = (
        contrastive(schedule="one_cycle", epochs=epochs).fit(X, Y[photograph]) for epochs in (5, 40)
    )
    assert len(short.losses_) == 5
    assert abs(long.losses_[-1] - long.losses_[-2]) < 0.2 * abs(long.losses_[0] - long.losses_[1])


def test_score_is_measured_in_the_joint_space():
    X, Y, photograph = make_data()
    fitted = contrastive().fit(X, Y[photograph])
    assert fitted.score(X, Y[photograph]) > contrastive(learning_rate=1e-30, epochs=1).fit(
        X, Y[photograph]
    ).score(X, Y[photograph])


@pytest.mark.parametrize("loss", ["mse", "cosine", "infonce"])
def test_a_network_can_begin_at_ridge(loss):
    X, Y, photograph = make_data()
    still = {"learning_rate": 1e-30, "epochs": 1, "n_components": 100}
    ridge = TextToVisualRegressor(alpha=0.5).fit(X, Y[photograph])
    begun = contrastive(loss, init="ridge", alpha=0.5, **still).fit(X, Y[photograph])
    assert_allclose(normalize(begun.predict(X)), normalize(ridge.predict(X)), atol=1e-4)
    if loss == "mse":
        assert_allclose(begun.predict(X), ridge.predict(X), atol=1e-4)
    else:
        drawn = contrastive(loss, **still).fit(X, Y[photograph])
        assert_allclose(begun.coefs_[0].std(), drawn.coefs_[0].std(), rtol=0.02)


@pytest.mark.parametrize("wrong", [{"hidden": 8}, {"alpha": "auto"}])
def test_beginning_at_ridge_is_for_one_strength_and_one_layer(wrong):
    X, Y, photograph = make_data()
    with pytest.raises(ValueError, match=r"init='ridge'.*pass"):
        contrastive(init="ridge", **wrong).fit(X, Y[photograph])
