import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose, assert_array_equal

from txt2img import TextToVisualRegressor

N_CAPTIONS, N_WORDS, N_OUTPUTS = 50, 30, 6


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = sp.random(N_CAPTIONS, N_WORDS, density=0.15, random_state=0).toarray().astype(np.float32)
    X[[3, 17]] = 0  # captions none of whose words is known
    Y = np.tanh(X @ rng.normal(size=(N_WORDS, N_OUTPUTS))) + 0.5
    return X, Y.astype(np.float32)


def network(**parameters):
    return TextToVisualRegressor(
        "network", **{"hidden": 16, "learning_rate": 1e-2, "random_state": 0, **parameters}
    )


def untrained(**parameters):
    """Steps so small that no weight changes: the network as it was first drawn."""
    return network(learning_rate=1e-30, epochs=1, **parameters)


def mean_squared_error(fitted, X, Y):
    return ((fitted.predict(X) - Y) ** 2).mean()


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_equals_a_plain_torch_network_trained_by_hand(data, weight_decay):
    X, Y = data
    first = untrained().fit(X, Y)
    model = torch.nn.Sequential(torch.nn.Linear(N_WORDS, 16), torch.nn.ReLU(), torch.nn.Linear(16, N_OUTPUTS))
    with torch.no_grad():
        for layer, weight, intercept in zip((model[0], model[2]), first.coefs_, first.intercepts_):
            layer.weight.copy_(torch.from_numpy(weight.T))
            layer.bias.copy_(torch.from_numpy(intercept))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=weight_decay)
    if weight_decay == 0:
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(5):  # later the optimiser makes much of the last bits
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(torch.from_numpy(X)), torch.from_numpy(Y))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    all_at_once = network(epochs=5, batch_size=N_CAPTIONS, weight_decay=weight_decay)
    ours = all_at_once.fit(sp.csr_matrix(X), Y)
    assert_allclose(ours.losses_, losses, rtol=1e-4)
    assert_allclose(ours.predict(X), model(torch.from_numpy(X)).detach().numpy(), atol=2e-4)


@pytest.mark.parametrize("container", [sp.csr_matrix, sp.csr_array, sp.csc_matrix])
def test_sparse_and_dense_vectors_give_the_same_training(data, container):
    X, Y = data
    dense, sparse = network(batch_size=8).fit(X, Y), network(batch_size=8).fit(container(X), Y)
    assert_allclose(sparse.losses_, dense.losses_, rtol=1e-4)
    assert_allclose(sparse.predict(container(X)), dense.predict(X), atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 7, 25, 50, 1000])
def test_an_epoch_sees_every_caption_once(data, batch_size):
    X, Y = data
    fitted = untrained(batch_size=batch_size).fit(X, Y)
    assert_allclose(fitted.losses_, [mean_squared_error(fitted, X, Y)], rtol=1e-5)


def test_loss_falls_until_the_words_are_learned(data):
    X, Y = data
    fitted = network(epochs=150, batch_size=10).fit(X, Y)
    assert len(fitted.losses_) == 150
    assert fitted.losses_[-1] < 0.05 * Y.var(axis=0).mean()
    assert mean_squared_error(fitted, X, Y) < 0.05 * Y.var(axis=0).mean()


def test_hidden_layer_learns_what_no_line_can():
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    exclusive_or = np.array([0, 1, 1, 0])
    ridge = TextToVisualRegressor(alpha=1e-6).fit(X, exclusive_or)
    assert_allclose(ridge.predict(X), 0.5, atol=1e-3)
    assert_allclose(network(epochs=500).fit(X, exclusive_or).predict(X), exclusive_or, atol=0.05)


def test_weight_decay_takes_weight_away(data):
    plain, decayed = network(epochs=30).fit(*data), network(epochs=30, weight_decay=1.0).fit(*data)
    for before, after in zip(plain.coefs_, decayed.coefs_):
        assert np.linalg.norm(after) < 0.95 * np.linalg.norm(before)


def test_first_weights_are_those_of_torch(data):
    fitted = untrained(hidden=400).fit(*data)
    for weights, intercept in zip(fitted.coefs_, fitted.intercepts_):
        drawn = np.concatenate([weights.ravel(), intercept])
        bound = len(weights) ** -0.5
        assert 0.98 * bound < np.abs(drawn).max() <= bound
        assert_allclose(drawn.std(), bound / np.sqrt(3), rtol=0.05)
        assert abs(drawn.mean()) < 0.05 * bound


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_same_seed_same_bits_and_another_seed_another_network(data, container):
    X, Y = container(data[0]), data[1]
    first, again, other = (network(random_state=seed).fit(X, Y) for seed in (3, 3, 4))
    assert first.losses_ == again.losses_ != other.losses_
    assert_array_equal(first.predict(X), again.predict(X))
    instance = network(random_state=np.random.RandomState(3)).fit(X, Y)
    assert_array_equal(first.predict(X), instance.predict(X))


def test_training_leaves_the_random_numbers_of_torch_and_numpy_alone(data):
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    expected = torch.rand(3), np.random.rand(3)  # noqa: NPY002
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    network().fit(*data)
    assert torch.equal(torch.rand(3), expected[0])
    assert_array_equal(np.random.rand(3), expected[1])  # noqa: NPY002


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_type_of_the_predictions_is_that_of_the_vectors(data, dtype):
    X, Y = data
    fitted = network().fit(X.astype(dtype), Y)
    assert fitted.predict(X.astype(dtype)).dtype == dtype
    assert fitted.predict(sp.csr_array(X.astype(dtype))).dtype == dtype


def test_progress_is_silent_unless_asked_for(data, capsys):
    network(epochs=1).fit(*data)
    assert capsys.readouterr().err == ""
    network(epochs=2, verbose=1).fit(*data)
    assert f"{2 * N_CAPTIONS}/{2 * N_CAPTIONS} captions" in capsys.readouterr().err


def test_inputs_are_left_as_they_were(data):
    X, Y = sp.csr_matrix(data[0]), data[1].copy()
    before = X.copy(), Y.copy()
    for array in (X.data, X.indices, X.indptr, Y):
        array.flags.writeable = False
    network().fit(X, Y).predict(X)
    assert_array_equal(X.toarray(), before[0].toarray())
    assert_array_equal(Y, before[1])
