"""What a header reads: the tokens of a backbone's last two layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.backbone.config import ViT
from models.backbone.training import device_of


class FeatureExtractor(nn.Module):
    """Images ``(n, c, h, w)`` to features ``(n, 2, 1 + patches, dim)``: the last layer's tokens,
    then the penultimate layer's, both after the final norm so that their scales agree. With one
    layer the penultimate is the embedding. The ViT's own head is not run."""

    def __init__(self, vit: ViT) -> None:
        super().__init__()
        self.vit = vit

    def forward(self, images: Tensor) -> Tensor:
        x = self.vit.norm_pre(self.vit._pos_embed(self.vit.patch_embed(images)))
        penultimate = x
        for block in self.vit.blocks:
            penultimate, x = x, block(x)
        return torch.stack([self.vit.norm(x), self.vit.norm(penultimate)], dim=1)


@torch.no_grad()
def extract(vit: ViT, images: Tensor, batch_size: int = 256) -> Tensor:
    """Features of all images on the CPU, without gradients: what is computed once and cached."""
    extractor, place = FeatureExtractor(vit).eval(), device_of(vit)
    return torch.cat([extractor(chunk.to(place)).cpu() for chunk in images.split(batch_size)])
