"""A model as it ships: pixels, or numbers of tokens, in; logits out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.backbone.family import Backbone
from models.backbone.features import FeatureExtractor, Headed


class Standardise(nn.Module):
    """Pixels in 0..1 ``(n, c, h, w)`` to the scale that the backbone was trained on."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels - self.mean) / self.std


def customized(vit: Backbone, header: nn.Module, prepare: nn.Module) -> nn.Module:
    """A device's model: what prepares its inputs, backbone without its reference header, own
    header.

    It maps what ``prepare`` takes to logits ``(n, classes)``: with :class:`Standardise` pixels in
    0..1, with ``nn.Identity`` numbers of tokens. ``vit`` loses its reference header.
    """
    vit.reset_classifier(0)
    return Headed(prepare, FeatureExtractor(vit), header).eval()


def standalone(vit: Backbone, prepare: nn.Module) -> nn.Module:
    """A backbone with its reference header, from what ``prepare`` takes to logits."""
    return nn.Sequential(prepare, vit).eval()
