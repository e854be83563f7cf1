"""DeViT's idea (Xu et al., ICME 2023): small ViTs for parts of the classes, fused."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.backbone.config import build
from models.backbone.families.vit import ViTConfig
from models.backbone.family import Backbone
from models.baselines.images import Images


class DeViT(nn.Module):
    """``parts`` small ViTs whose [CLS] features a linear layer fuses into all classes.

    Class c belongs to part ``c % parts``. :meth:`part_targets` are the labels that one part learns
    alone: its own classes, and one label for all others.
    """

    def __init__(self, images: Images, *, dim: int, depth: int, parts: int) -> None:
        super().__init__()
        classes = images.classes
        self.classes = classes
        own = [len(range(part, classes, parts)) for part in range(parts)]
        heads = 3
        self.parts = nn.ModuleList(
            build(
                ViTConfig(
                    image_size=images.size,
                    patch_size=images.patch,
                    channels=images.channels,
                    classes=count + 1,
                    dim=dim,
                    depth=depth,
                    heads=heads,
                    head_dim=dim // heads,
                    mlp_hidden=2 * dim,
                ),
                seed=part,
            )
            for part, count in enumerate(own)
        )
        self.head = nn.Linear(parts * dim, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.forward_features(images))

    def forward_features(self, images: Tensor) -> Tensor:
        """The parts' [CLS] features, concatenated ``(n, parts * dim)``."""
        tokens = [vit.pooled(vit.encode(images)) for vit in self._vits()]
        return torch.cat(tokens, 1)

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """timm's name for what follows the features."""
        return features if pre_logits else self.head(features)

    def get_classifier(self) -> nn.Linear:
        """The fusion layer."""
        return self.head

    def part_targets(self, labels: Tensor, part: int) -> Tensor:
        """Labels for one part: its own classes in order, and the last for all others."""
        count = len(self.parts)
        own = len(range(part, self.classes, count))
        return torch.where(labels % count == part, labels // count, torch.full_like(labels, own))

    def _vits(self) -> Sequence[Backbone]:
        return list(self.parts)  # type: ignore[arg-type]
