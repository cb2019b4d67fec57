"""What the networks minimise: how far predictions are from descriptors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class _Loss(ABC):
    """A loss of a batch: predictions and descriptors (n, d), the photograph of each row, and its weight.

    The mean of the weights is 1 over all captions, so that a batch of heavy ones counts for more.
    """

    temperature: float
    margin: float
    learns_visual_map = False
    scale_free = True

    @abstractmethod
    def __call__(self, text: Tensor, visual: Tensor, photograph: Tensor, weight: Tensor) -> Tensor:
        """Compute the loss."""


class MeanSquaredError(_Loss):
    """Mean squared difference of the numbers."""

    scale_free = False

    def __call__(self, text: Tensor, visual: Tensor, photograph: Tensor, weight: Tensor) -> Tensor:
        """Compute the loss."""
        import torch

        root = weight.sqrt()[:, None]
        return torch.nn.functional.mse_loss(root * text, root * visual)


class CosineLoss(_Loss):
    """One minus the cosine."""

    def __call__(self, text: Tensor, visual: Tensor, photograph: Tensor, weight: Tensor) -> Tensor:
        """Compute the loss."""
        import torch

        return (weight * (1 - torch.nn.functional.cosine_similarity(text, visual))).mean()


class InfoNCE(_Loss):
    """Cross-entropy of finding, by cosine over a temperature, the right photograph for each caption.

    And the right captions for each photograph; the mean of both directions. Captions of the same
    photograph share the target probability evenly, or by their weights, and a caption of weight 2 stands in
    the softmax like two.

    References
    ----------
    van den Oord et al., "Representation Learning with Contrastive Predictive Coding", 2018; Radford et
    al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021 (symmetric).
    """

    learns_visual_map = True

    def __call__(self, text: Tensor, visual: Tensor, photograph: Tensor, weight: Tensor) -> Tensor:
        """Compute the loss."""
        scores = _cosines(text, visual) / self.temperature
        same = (photograph[:, None] == photograph) * weight
        target = weight[:, None] * same / same.sum(1, keepdim=True)
        shift = weight.log()
        forward = (scores + shift).log_softmax(1) - shift
        backward = (scores + shift[:, None]).log_softmax(0) - shift[:, None]
        return -((target * forward).sum() + (target * backward).sum()) / (2 * len(scores))


class HingeLoss(_Loss):
    """By how much, on average, wrong photographs and captions come nearer than `margin` to the right one.

    In both directions, over all pairs of different photographs in the batch; a pair has the product of the
    weights of its captions.

    References
    ----------
    Kiros et al., "Unifying Visual-Semantic Embeddings with Multimodal Neural Language Models", 2014.
    """

    learns_visual_map = True

    def __call__(self, text: Tensor, visual: Tensor, photograph: Tensor, weight: Tensor) -> Tensor:
        """Compute the loss."""
        import torch

        scores = _cosines(text, visual)
        right = scores.diagonal()
        other = (photograph[:, None] != photograph) * weight[:, None] * weight
        violations = (self.margin + scores - right[:, None]).relu() + (self.margin + scores - right).relu()
        return (violations * other).sum() / (2 * other.sum()).clamp(min=torch.finfo(other.dtype).tiny)


LOSSES: dict[str, type[_Loss]] = {
    "mse": MeanSquaredError,
    "cosine": CosineLoss,
    "infonce": InfoNCE,
    "hinge": HingeLoss,
}


def _cosines(text: Tensor, visual: Tensor) -> Tensor:
    import torch

    return torch.nn.functional.normalize(text) @ torch.nn.functional.normalize(visual).T
