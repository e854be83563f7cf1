"""BERT: words in a table, learned positions, post-norm blocks, padded texts; in plain torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from annotated_types import Interval
from pydantic import Strict
from torch import Tensor, nn

from models.backbone.family import Backbone, BackboneConfig, Family, classifier
from models.backbone.units import Unit

Pool = Literal["mean", "cls"]
"""What the reference header reads: the mean of a text's tokens, or [CLS]."""


@dataclass(frozen=True, kw_only=True)
class BertConfig(BackboneConfig):
    """Of an encoder of texts of ``length`` tokens.

    Attributes:
        vocabulary: rows of the table of words.
        length: tokens of a text, [CLS], [SEP] and padding included.
        pad: the token that is padding.
    """

    vocabulary: Annotated[int, Strict(), Interval(ge=1, le=1 << 20)]
    length: Annotated[int, Strict(), Interval(ge=2, le=1 << 16)]
    pad: Annotated[int, Strict(), Interval(ge=0, le=1 << 20)] = 0
    norm_eps: Annotated[float, Interval(ge=0, le=1)] = 1e-12
    pool: Pool = "mean"

    family: ClassVar[str] = "bert"

    @property
    def shape(self) -> tuple[int, ...]:
        """``(tokens,)``, those after [CLS]."""
        return (self.length - 1,)

    def with_words(self, words: Tensor) -> BertConfig:
        rank = (words == self.pad).nonzero()
        if len(rank) != 1:
            raise ValueError(f"these words hold the padding, {self.pad}, {len(rank)} times")
        return replace(self, vocabulary=len(words), pad=int(rank))

    def with_vocabulary(self, rows: int | None) -> BertConfig:
        return self if rows is None else replace(self, vocabulary=rows)


class Attention(nn.Module):
    """Self-attention among the tokens of a text."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        inner = config.heads * config.head_dim
        self.head_dim = config.head_dim
        self.query, self.key, self.value = (nn.Linear(config.dim, inner) for _ in range(3))
        self.output = nn.Linear(inner, config.dim)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (
            part(x).unflatten(2, (-1, self.head_dim)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        read = None if mask is None else mask[:, None, None]
        mixed = F.scaled_dot_product_attention(q, k, v, read)
        return self.output(mixed.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear layers, GELU between."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.dim, config.mlp_hidden)
        self.fc2 = nn.Linear(config.mlp_hidden, config.dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """One layer, a norm after each of its halves."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attn = Attention(config)
        self.norm1 = nn.LayerNorm(config.dim, eps=config.norm_eps)
        self.mlp = Mlp(config)
        self.norm2 = nn.LayerNorm(config.dim, eps=config.norm_eps)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.norm1(x + self.attn(x, mask))
        return self.norm2(x + self.mlp(x))


class Bert(Backbone):
    """Numbers of tokens ``(n, length)``, int64, to logits ``(n, classes)``. The first is [CLS];
    those that are padding take no part."""

    config: BertConfig

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.words = nn.Embedding(config.vocabulary, config.dim)
        self.places = nn.Parameter(torch.empty(1, config.length, config.dim))
        self.norm = nn.LayerNorm(config.dim, eps=config.norm_eps)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.head = classifier(config)
        self._initialise()

    def _initialise(self) -> None:
        """As transformers does: a normal one of .02."""
        nn.init.normal_(self.places, std=0.02)
        for part in self.modules():
            if isinstance(part, nn.Embedding | nn.Linear):
                nn.init.normal_(part.weight, std=0.02)
            if isinstance(part, nn.Linear):
                nn.init.zeros_(part.bias)

    def embed(self, inputs: Tensor) -> Tensor:
        return self.norm(self.words(inputs) + self.places)

    def mask(self, inputs: Tensor) -> Tensor:
        first = torch.arange(self.config.length, device=inputs.device) == 0
        return (inputs != self.config.pad) | first

    def pooled(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        if self.config.pool == "cls":
            return hidden[:, 0]
        if mask is None:
            return hidden.mean(1)
        counted = mask[:, :, None].to(hidden.dtype)
        return (hidden * counted).sum(1) / counted.sum(1)

    def read(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        if self.config.pool == "cls":
            return hidden
        return torch.cat([self.pooled(hidden, mask)[:, None], hidden[:, 1:]], dim=1)

    def sample(self) -> Tensor:
        """One text without padding."""
        other = 0 if self.config.pad else 1
        return torch.full((1, self.config.length), other, device=self.places.device)


def units(config: BertConfig) -> tuple[Unit, ...]:
    """Heads and neurons of a layer, and the words."""
    size = config.head_dim
    return (
        *(Unit(f"attn.{part}.weight", 0, "heads", size) for part in ("query", "key", "value")),
        *(Unit(f"attn.{part}.bias", 0, "heads", size) for part in ("query", "key", "value")),
        Unit("attn.output.weight", 1, "heads", size),
        Unit("mlp.fc1.weight", 0, "mlp_hidden"),
        Unit("mlp.fc1.bias", 0, "mlp_hidden"),
        Unit("mlp.fc2.weight", 1, "mlp_hidden"),
        Unit("words.weight", 0, "vocabulary", layered=False),
    )


FAMILY = Family(BertConfig, Bert, units)
