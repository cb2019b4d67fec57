"""A network of one hidden layer from sparse text vectors to descriptors, trained with torch."""

import numpy as np
import scipy.sparse as sp

from txt2img._progress import Progress


def fit_network(X, Y, *, hidden, epochs, batch_size, learning_rate, weight_decay, random_state, verbose):
    """Train input -> hidden (ReLU) -> linear output with mean squared error by Adam.

    The first layer adds up the weights of the words of a caption and never makes the batch dense; this
    is the same network, step by step, as one with a dense first layer.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n_captions, n_features)
        Vectors of the captions.
    Y : ndarray of shape (n_captions, n_outputs)
        Targets.
    hidden : int
        Width of the hidden layer.
    epochs, batch_size : int
        Passes over the captions, and captions a step.
    learning_rate, weight_decay : float
        Of Adam; the decay is decoupled from the gradient.
    random_state : numpy.random.RandomState
        Draws the first weights and the order of the captions.
    verbose : int
        If positive, progress is printed.

    Returns
    -------
    weights : list of 2 ndarrays of shapes (n_features, hidden) and (hidden, n_outputs), float32
        Weights of the layers.
    intercepts : list of 2 ndarrays of shapes (hidden,) and (n_outputs,), float32
        Their intercepts.
    losses : list of float
        Mean squared error over each epoch.

    References
    ----------
    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    """
    import torch

    generator = torch.Generator().manual_seed(int(random_state.randint(2**31 - 1)))
    X = X if sp.issparse(X) else np.asarray(X, np.float32)
    Y = np.asarray(Y, np.float32)
    layers = [
        _uniform_layer(n_inputs, n_outputs, generator)
        for n_inputs, n_outputs in ((X.shape[1], hidden), (hidden, Y.shape[1]))
    ]
    parameters = [tensor for layer in layers for tensor in layer]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)
    (first, first_intercept), (second, second_intercept) = layers
    progress = Progress(epochs * len(Y), "captions") if verbose else None
    losses = []
    for epoch in range(epochs):
        total = 0.0
        order = torch.randperm(len(Y), generator=generator).numpy()
        for start in range(0, len(Y), batch_size):
            rows = order[start : start + batch_size]
            optimizer.zero_grad(set_to_none=True)
            activation = torch.relu(_sum_of_rows(first, X[rows]) + first_intercept)
            loss = torch.nn.functional.mse_loss(
                activation @ second + second_intercept, torch.from_numpy(Y[rows])
            )
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(rows)
            if progress:
                progress.show(epoch * len(Y) + start + len(rows))
        losses.append(total / len(Y))
    weights, intercepts = ([layer[i].detach().numpy() for layer in layers] for i in (0, 1))
    return weights, intercepts, losses


def predict_network(X, weights, intercepts):
    """Pass vectors through the layers, with ReLU between them, in numpy and scipy alone."""
    for weight, intercept in zip(weights[:-1], intercepts[:-1]):
        X = np.maximum(X @ weight + intercept, 0)
    return X @ weights[-1] + intercepts[-1]


def _uniform_layer(n_inputs, n_outputs, generator):
    """Draw weights and intercepts as ``torch.nn.Linear`` does."""
    import torch

    bound = n_inputs**-0.5
    shapes = (n_inputs, n_outputs), (n_outputs,)
    return [
        torch.empty(shape).uniform_(-bound, bound, generator=generator).requires_grad_() for shape in shapes
    ]


def _sum_of_rows(weight, batch):
    """Product of a batch of text vectors and the first layer's weights."""
    import torch

    if not sp.issparse(batch):
        return torch.from_numpy(batch) @ weight
    return torch.nn.functional.embedding_bag(
        torch.from_numpy(batch.indices.astype(np.int64)),
        weight,
        torch.from_numpy(batch.indptr[:-1].astype(np.int64)),
        mode="sum",
        per_sample_weights=torch.from_numpy(batch.data.astype(np.float32)),
    )
