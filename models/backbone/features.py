"""What a header reads: the tokens of a backbone's last two layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.backbone.family import Backbone
from models.backbone.training import device_of


class FeatureExtractor(nn.Module):
    """Inputs to features ``(n, 2, 1 + positions, dim)``: the last layer's tokens, then the
    penultimate layer's, both after the final norm so that their scales agree. With one layer the
    penultimate is the embedding. The backbone's own head is not run."""

    def __init__(self, vit: Backbone) -> None:
        super().__init__()
        self.vit = vit

    def forward(self, inputs: Tensor) -> Tensor:
        x, mask = self.vit.embed(inputs), self.vit.mask(inputs)
        penultimate = x
        for block in self.vit.blocks:
            penultimate, x = x, block(x, mask)
        return torch.stack([self.vit.finish(x), self.vit.finish(penultimate)], dim=1)


@torch.no_grad()
def extract(vit: Backbone, inputs: Tensor, batch_size: int = 256) -> Tensor:
    """Features of all inputs on the CPU, without gradients: what is computed once and cached."""
    extractor, place = FeatureExtractor(vit).eval(), device_of(vit)
    return torch.cat([extractor(chunk.to(place)).cpu() for chunk in inputs.split(batch_size)])
