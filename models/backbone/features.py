"""What a header reads: the tokens of a backbone's last two layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.backbone.batches import in_batches
from models.backbone.family import Backbone


@dataclass(frozen=True)
class Features:
    """What a backbone makes of inputs.

    Attributes:
        tokens: ``(n, 2, 1 + positions, dim)``: the last layer's, then the penultimate layer's; of
            each what the backbone's own header reads ([CLS] in most), then a token a position.
        mask: which positions are real ``(n, 1 + positions)``; None where there is no padding.
        shape: how the positions lie, [CLS] aside: ``(h, w)`` or ``(t,)``.
    """

    tokens: Tensor
    mask: Tensor | None
    shape: tuple[int, ...]


class FeatureExtractor(nn.Module):
    """Inputs to the tokens of :class:`Features`, both layers' after the final norm so that their
    scales agree, and the mask where the family has one (who knows it may say it). With one layer
    the penultimate is the embedding. The backbone's own head is not run."""

    def __init__(self, vit: Backbone) -> None:
        super().__init__()
        self.vit = vit

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        x = self.vit.embed(inputs)
        mask = self.vit.mask(inputs) if mask is None else mask
        penultimate = x
        for block in self.vit.blocks:
            penultimate, x = x, block(x, mask)
        tokens = torch.stack([self.vit.read(x, mask), self.vit.read(penultimate, mask)], dim=1)
        return tokens if mask is None else (tokens, mask)


class Headed(nn.Sequential):
    """Modules in turn, the last a header: it gets the mask too where the features have one."""

    def forward(self, x: Tensor) -> Tensor:
        for module in self:
            x = module(*x) if isinstance(x, tuple) else module(x)
        return x


def extract(vit: Backbone, inputs: Tensor, batch_size: int | None = None) -> Features:
    """Features of all inputs on the CPU, without gradients: what is computed once and cached."""
    extractor = FeatureExtractor(vit).eval()

    def read(x: Tensor) -> tuple[Tensor, Tensor | None]:
        found = extractor(x)
        return (found[0].cpu(), found[1].cpu()) if isinstance(found, tuple) else (found.cpu(), None)

    tokens, masks = zip(*in_batches(vit, read, inputs, batch_size), strict=True)
    mask = None if masks[0] is None else torch.cat(masks)
    return Features(torch.cat(tokens), mask, vit.config.shape)
