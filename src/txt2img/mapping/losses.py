"""What the networks minimise: how far predictions are from descriptors."""

from dataclasses import dataclass


@dataclass(frozen=True)
class _Loss:
    """A loss of a batch: predictions and descriptors (n, d), and the photograph of each row."""

    temperature: float
    margin: float
    learns_visual_map = False
    scale_free = True


class MeanSquaredError(_Loss):
    """Mean squared difference of the numbers."""

    scale_free = False

    def __call__(self, text, visual, photograph):
        """Compute the loss."""
        import torch

        return torch.nn.functional.mse_loss(text, visual)


class CosineLoss(_Loss):
    """One minus the cosine."""

    def __call__(self, text, visual, photograph):
        """Compute the loss."""
        import torch

        return 1 - torch.nn.functional.cosine_similarity(text, visual).mean()


class InfoNCE(_Loss):
    """Cross-entropy of finding, by cosine over a temperature, the right photograph for each caption.

    And the right captions for each photograph; the mean of both directions. Captions of the same
    photograph share the target probability evenly.

    References
    ----------
    van den Oord et al., "Representation Learning with Contrastive Predictive Coding", 2018; Radford et
    al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021 (symmetric).
    """

    learns_visual_map = True

    def __call__(self, text, visual, photograph):
        """Compute the loss."""
        scores = _cosines(text, visual) / self.temperature
        same = (photograph[:, None] == photograph).to(scores.dtype)
        target = same / same.sum(1, keepdim=True)
        forward, backward = scores.log_softmax(1), scores.log_softmax(0)
        return -((target * forward).sum() + (target * backward).sum()) / (2 * len(scores))


class HingeLoss(_Loss):
    """By how much, on average, wrong photographs and captions come nearer than `margin` to the right one.

    In both directions, over all pairs of different photographs in the batch.

    References
    ----------
    Kiros et al., "Unifying Visual-Semantic Embeddings with Multimodal Neural Language Models", 2014.
    """

    learns_visual_map = True

    def __call__(self, text, visual, photograph):
        """Compute the loss."""
        scores = _cosines(text, visual)
        right = scores.diagonal()
        other = (photograph[:, None] != photograph).to(scores.dtype)
        violations = (self.margin + scores - right[:, None]).relu() + (self.margin + scores - right).relu()
        return (violations * other).sum() / (2 * other.sum()).clamp(min=1)


LOSSES = {"mse": MeanSquaredError, "cosine": CosineLoss, "infonce": InfoNCE, "hinge": HingeLoss}


def _cosines(text, visual):
    import torch

    return torch.nn.functional.normalize(text) @ torch.nn.functional.normalize(visual).T
