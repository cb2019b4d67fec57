"""Networks from text vectors to descriptors, trained with torch.

torch is imported where it is used, and arrays go in and come out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp

from txt2img._progress import Progress
from txt2img._types import Array, Matrix
from txt2img.mapping.blocks import split_columns
from txt2img.mapping.losses import LOSSES

if TYPE_CHECKING:
    from torch import Tensor


# Weights and intercepts of the layers, and the visual map.
Weights: TypeAlias = tuple[list[Array], list[Array], Array | None]


class Network:
    """Input -> linear, or input -> hidden (ReLU) -> linear, and where the loss asks for it a visual map.

    The first layer adds up the weights of the words of a caption and never makes the batch dense; it is
    the same, step by step, as one with a dense first layer.

    Parameters
    ----------
    n_inputs, n_outputs : int
        Widths of the text vectors and of the descriptors.
    loss : {"mse", "cosine", "infonce", "hinge"}
        What is minimised; the last two learn the map of the descriptors too.
    hidden : int or None
        Width of the hidden layer, if there is one.
    n_components : int
        Width of the joint space of the losses that learn a visual map.
    learning_rate, weight_decay : float
        Of Adam; the decay is decoupled from the gradient.
    dropout : float
        Share of the numbers in the text vectors that training leaves out at random.
    temperature, margin : float
        Of the losses "infonce" and "hinge".
    random_state : numpy.random.RandomState
        Draws the first weights, the order of the captions and what is left out.

    References
    ----------
    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        *,
        loss: str,
        hidden: int | None,
        n_components: int,
        learning_rate: float,
        weight_decay: float,
        dropout: float,
        temperature: float,
        margin: float,
        random_state: np.random.RandomState,
    ) -> None:
        import torch

        self.generator = np.random.default_rng(random_state.randint(2**31 - 1))
        self.loss = LOSSES[loss](temperature=temperature, margin=margin)
        self.learning_rate = learning_rate
        self.dropout = dropout
        self.visual_map = None
        width = n_outputs
        if self.loss.learns_visual_map:
            width = n_components
            self.visual_map = torch.eye(n_outputs, n_components).requires_grad_()
        widths = [n_inputs, width] if hidden is None else [n_inputs, hidden, width]
        self.layers = [_uniform_layer(*shape, self.generator) for shape in pairwise(widths)]
        self.weight_decay = weight_decay
        self.averages = [[torch.zeros_like(tensor) for tensor in self._parameters()] for _ in range(2)]
        self.steps = [torch.tensor(0.0) for _ in self._parameters()]

    def start_from(self, weights: Array, intercept: Array) -> None:
        """Begin with a linear map to descriptors in place of random weights.

        Losses that compare by cosine do not care for its scale, but the optimiser, whose steps have a size of
        their own, does: the weights get the spread of those that they replace.

        Parameters
        ----------
        weights : ndarray of shape (n_inputs, n_outputs)
            Of which as many outputs are taken as the network has.
        intercept : ndarray of shape (n_outputs,)
            As many are taken.
        """
        width = self.layers[0][1].shape[0]
        weights, intercept = weights[:, :width], intercept[:width]
        if self.loss.scale_free and (spread := weights.std()) > 0:
            scale = float(self.layers[0][0].detach().std()) / spread
            weights, intercept = scale * weights, scale * intercept
        coefs, intercepts, visual_map = self.weights()
        coefs[0][:], intercepts[0][:] = weights, intercept
        self.set_weights(coefs, intercepts, visual_map)

    def train(
        self,
        X: Matrix,
        Y: Array,
        photograph: Array,
        weight: Array | None,
        *,
        epochs: int,
        batch_size: int,
        schedule: Literal["constant", "one_cycle"] = "constant",
        verbose: int = 0,
    ) -> Iterator[float]:
        """Go over captions, once for each loss that is asked for.

        Parameters
        ----------
        X : ndarray or sparse matrix of shape (n_captions, n_inputs)
            Vectors of the captions.
        Y : ndarray of shape (n_captions, n_outputs)
            Targets.
        photograph : ndarray of shape (n_captions,), dtype int
            Photograph of each caption.
        weight : ndarray of shape (n_captions,), or None
            Weight of each caption, greater than 0, compared with their mean.
        epochs, batch_size : int
            Passes over the captions, and captions a step.
        schedule : {"constant", "one_cycle"}, default="constant"
            Whether the learning rate stays, or rises for a tenth of the steps and then falls to nothing.
        verbose : int, default=0
            If positive, progress is printed.

        Yields
        ------
        float
            Mean loss over the epoch that is over.

        References
        ----------
        Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning
        Rates", 2018 (the schedule).
        """
        batches = _Batches(X, Y, photograph, weight)
        n_steps = epochs * -(-len(Y) // batch_size)
        shares = _one_cycle(n_steps) if schedule == "one_cycle" else np.ones(n_steps)
        share = iter(shares.tolist())
        progress = Progress(epochs * len(Y), "captions") if verbose else None
        for epoch in range(epochs):
            total = 0.0
            order = self.generator.permutation(len(Y))
            for start in range(0, len(Y), batch_size):
                rows = order[start : start + batch_size]
                loss = self._loss(batches, rows, self.dropout)
                self._step(loss, self.learning_rate * next(share))
                total += float(loss.detach()) * len(rows)
                if progress:
                    progress.show(epoch * len(Y) + start + len(rows))
            yield total / len(Y)

    def evaluate(
        self, X: Matrix, Y: Array, photograph: Array, weight: Array | None, *, batch_size: int
    ) -> float:
        """Compute the mean loss over captions without learning from them."""
        import torch

        batches, total = _Batches(X, Y, photograph, weight), 0.0
        with torch.no_grad():
            for start in range(0, len(Y), batch_size):
                rows = np.arange(start, min(start + batch_size, len(Y)))
                total += float(self._loss(batches, rows, dropout=0.0)) * len(rows)
        return total / len(Y)

    def weights(self) -> Weights:
        """Give copies of the weights and intercepts of the layers, and of the visual map or None."""
        coefs, intercepts = ([layer[i].detach().numpy().copy() for layer in self.layers] for i in (0, 1))
        visual_map = None if self.visual_map is None else self.visual_map.detach().numpy().copy()
        return coefs, intercepts, visual_map

    def set_weights(
        self, coefs: Sequence[Array], intercepts: Sequence[Array], visual_map: Array | None
    ) -> None:
        """Take over weights as `weights` gives them."""
        import torch

        with torch.no_grad():
            for (weight, intercept), coef, offset in zip(self.layers, coefs, intercepts):
                weight.copy_(torch.from_numpy(coef))
                intercept.copy_(torch.from_numpy(offset))
            if self.visual_map is not None and visual_map is not None:
                self.visual_map.copy_(torch.from_numpy(visual_map))

    def _step(self, loss: Tensor, learning_rate: float) -> None:
        """Take a step of AdamW. The class ``torch.optim.AdamW`` would first import torch's compiler."""
        import torch
        from torch.optim.adamw import adamw

        parameters = self._parameters()
        means, squares = self.averages
        with torch.no_grad():
            adamw(
                parameters,
                list(torch.autograd.grad(loss, parameters)),
                means,
                squares,
                [],
                self.steps,
                fused=True,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=learning_rate,
                weight_decay=self.weight_decay,
                eps=1e-8,
                maximize=False,
            )

    def _parameters(self) -> list[Tensor]:
        tensors = [tensor for layer in self.layers for tensor in layer]
        return tensors if self.visual_map is None else [*tensors, self.visual_map]

    def _loss(self, batches: _Batches, rows: Array, dropout: float) -> Tensor:
        import torch

        text = batches.product(rows, self.layers[0][0], dropout, self.generator) + self.layers[0][1]
        for weight, intercept in self.layers[1:]:
            text = torch.relu(text) @ weight + intercept
        visual, photograph, weight = batches.targets(rows)
        if self.visual_map is not None:
            visual = visual @ self.visual_map
        return self.loss(text, visual, photograph, weight)


class EarlyStopping:
    """Keep the weights of the epoch with the least loss on photographs set aside.

    Parameters
    ----------
    X, Y, photograph, weight : arrays
        Captions set aside, as in `Network.train`.
    batch_size : int
        Captions compared with one another at a time.
    patience : int
        Epochs without a lower loss after which training ends.
    """

    def __init__(
        self, X: Matrix, Y: Array, photograph: Array, weight: Array | None, *, batch_size: int, patience: int
    ) -> None:
        self.data = X, Y, photograph, weight
        self.batch_size = batch_size
        self.patience = patience
        self.losses: list[float] = []
        self.best_weights: Weights | None = None

    def __call__(self, network: Network) -> bool:
        """Take note of the loss after an epoch, and say whether training is to end."""
        self.losses.append(network.evaluate(*self.data, batch_size=self.batch_size))
        best = int(np.argmin(self.losses))
        if best == len(self.losses) - 1:
            self.best_weights = network.weights()
        return len(self.losses) - 1 - best >= self.patience


def predict_network(X: Matrix, weights: Sequence[Array], intercepts: Sequence[Array]) -> Array:
    """Pass vectors through the layers, with ReLU between them, in numpy and scipy alone."""
    for weight, intercept in zip(weights[:-1], intercepts[:-1]):
        X = np.maximum(X @ weight + intercept, 0)
    return X @ weights[-1] + intercepts[-1]


class _Batches:
    """Gives the rows of a batch as tensors."""

    def __init__(self, X: Matrix, Y: Array, photograph: Array, weight: Array | None) -> None:
        import torch

        self.blocks = [
            (torch.from_numpy(columns), block if sp.issparse(block) else np.asarray(block, np.float32))
            for columns, block in split_columns(X)
        ]
        self.Y = np.asarray(Y, np.float32)
        self.photograph = photograph
        weight = np.ones(len(Y)) if weight is None else weight / weight.mean()
        self.weight = weight.astype(np.float32)

    def product(self, rows: Array, weight: Tensor, dropout: float, generator: np.random.Generator) -> Tensor:
        """Product of the text vectors of a batch and the first layer's weights."""
        import torch

        products = []
        for columns, block in self.blocks:
            batch = block[rows]
            values: Array = np.asarray(batch if isinstance(batch, np.ndarray) else batch.data, np.float32)
            if dropout:
                # Draws of 16 bits: torch's bernoulli_ takes several times as long.
                kept = generator.integers(2**16, size=values.shape, dtype=np.uint16) >= dropout * 2**16
                values = values * (kept / np.float32(1 - dropout))
            numbers = torch.from_numpy(values)
            if isinstance(batch, np.ndarray):
                product = numbers @ (weight if len(columns) == len(weight) else weight[columns])
            else:
                product = torch.nn.functional.embedding_bag(
                    columns[torch.from_numpy(batch.indices.astype(np.int64))],
                    weight,
                    torch.from_numpy(batch.indptr[:-1].astype(np.int64)),
                    mode="sum",
                    per_sample_weights=numbers,
                )
            products.append(product)
        return reduce(torch.add, products)

    def targets(self, rows: Array) -> list[Tensor]:
        import torch

        return [torch.from_numpy(each[rows]) for each in (self.Y, self.photograph, self.weight)]


def _one_cycle(n_steps: int) -> Array:
    """Share of the learning rate at each step: a tenth of the steps up to 1, then half a cosine down to 0."""
    n_up = max(1, n_steps // 10)
    down = np.linspace(0, np.pi, n_steps - n_up, endpoint=False)
    return np.concatenate([np.arange(1, n_up + 1) / n_up, (1 + np.cos(down)) / 2])


def _uniform_layer(n_inputs: int, n_outputs: int, generator: np.random.Generator) -> list[Tensor]:
    """Draw weights and intercepts from the distribution that ``torch.nn.Linear`` draws them from."""
    import torch

    bound = np.float32(n_inputs**-0.5)
    drawn = (generator.random(shape, np.float32) for shape in ((n_inputs, n_outputs), (n_outputs,)))
    return [torch.from_numpy(bound * (2 * uniform - 1)).requires_grad_() for uniform in drawn]
