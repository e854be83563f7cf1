"""A family that is no ViT: words in a table, separate q, k and v, post-norm, padded texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbone.family import Backbone, BackboneConfig, Family, classifier
from models.backbone.units import Unit

PADDING = -1


@dataclass(frozen=True, kw_only=True)
class ToyConfig(BackboneConfig):
    """Of texts with ``length`` words out of ``vocabulary``."""

    length: int
    vocabulary: int

    family: ClassVar[str] = "toy"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.length,)


class ToyBlock(nn.Module):
    """Attention and MLP, a norm after each."""

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        inner = config.heads * config.head_dim
        self.head_dim = config.head_dim
        self.query, self.key, self.value = (nn.Linear(config.dim, inner) for _ in range(3))
        self.output = nn.Linear(inner, config.dim)
        self.grow = nn.Linear(config.dim, config.mlp_hidden)
        self.shrink = nn.Linear(config.mlp_hidden, config.dim)
        self.norm1, self.norm2 = nn.LayerNorm(config.dim), nn.LayerNorm(config.dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (
            part(x).unflatten(2, (-1, self.head_dim)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, mask[:, None, None])
        x = self.norm1(x + self.output(mixed.transpose(1, 2).flatten(2)))
        return self.norm2(x + self.shrink(F.relu(self.grow(x))))


class Toy(Backbone):
    """Word numbers ``(n, length)``, padded with -1, to logits."""

    config: ToyConfig

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.config = config
        self.words = nn.Embedding(config.vocabulary, config.dim)
        self.first = nn.Parameter(torch.randn(1, 1, config.dim))
        self.places = nn.Parameter(torch.randn(1, 1 + config.length, config.dim))
        self.blocks = nn.ModuleList(ToyBlock(config) for _ in range(config.depth))
        self.head = classifier(config)

    def embed(self, inputs: Tensor) -> Tensor:
        words = self.words(inputs.clamp(min=0))
        return torch.cat([self.first.expand(inputs.shape[0], -1, -1), words], 1) + self.places

    def mask(self, inputs: Tensor) -> Tensor:
        return F.pad(inputs != PADDING, (1, 0), value=True)

    def sample(self) -> Tensor:
        return torch.zeros(1, self.config.length, dtype=torch.long, device=self.first.device)


def units(config: ToyConfig) -> tuple[Unit, ...]:
    size = config.head_dim
    return (
        *(Unit(f"{part}.weight", 0, "heads", size) for part in ("query", "key", "value")),
        *(Unit(f"{part}.bias", 0, "heads", size) for part in ("query", "key", "value")),
        Unit("output.weight", 1, "heads", size),
        Unit("grow.weight", 0, "mlp_hidden"),
        Unit("grow.bias", 0, "mlp_hidden"),
        Unit("shrink.weight", 1, "mlp_hidden"),
        Unit("words.weight", 0, "vocabulary", layered=False),
    )


FAMILY = Family(ToyConfig, Toy, units)
