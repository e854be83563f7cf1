"""One ViT whose every narrower and shallower variant is a prefix of its weights (Sec. III-B1)."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Le, MinLen
from torch import Tensor

from models.backbone.config import BackboneConfig, ViT
from models.backbone.importance import Importance

Strategy = Literal["first", "even"]


@dataclass(frozen=True)
class Grid:
    """The variants: every width with every depth, and which layers a depth keeps."""

    widths: Annotated[tuple[Annotated[float, Gt(0), Le(1)], ...], MinLen(1)]
    depths: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)]
    depth_strategy: Strategy


def kept(width: float, total: int) -> int:
    """ceil(width * total): how many heads or neurons a width keeps (at least 1).

    The small allowance keeps 0.3 * 10 at 3 despite rounding.

    Raises:
        ValueError: a width outside (0, 1].
    """
    if not 0 < width <= 1:
        raise ValueError(f"width {width} is outside (0, 1]")
    return max(1, math.ceil(width * total - 1e-9))


def layers_of(depth: int, total: int, strategy: str = "first") -> tuple[int, ...]:
    """Which layers a variant of ``depth`` layers executes.

    ``first`` takes a prefix, so that one forward pass passes through every depth; ``even`` spaces
    the layers evenly and always keeps the last, as DynaBERT does.

    Raises:
        ValueError: a depth outside 1..total, or an unknown strategy.
    """
    if not 1 <= depth <= total:
        raise ValueError(f"depth {depth} is outside 1..{total}")
    if strategy == "first":
        return tuple(range(depth))
    if strategy == "even":
        return tuple((i + 1) * total // depth - 1 for i in range(depth))
    raise ValueError(f"unknown depth strategy {strategy!r}: choose first or even")


def stands_for(depth: int, total: int) -> tuple[int, ...]:
    """The teacher's layers that the layers of a student of ``depth`` stand for, last for last."""
    return layers_of(depth, total, "even")


def variant_config(full: BackboneConfig, width: float, depth: int) -> BackboneConfig:
    """The configuration of the variant at ``(width, depth)``."""
    return full.resized(
        heads=kept(width, full.heads), mlp_hidden=kept(width, full.mlp_hidden), depth=depth
    )


def reorder(vit: ViT, importance: Importance) -> ViT:
    """A copy that computes the same, with each layer's heads and neurons sorted by importance."""
    ranked = copy.deepcopy(vit)
    with torch.no_grad():
        for block, heads, neurons in zip(
            ranked.blocks, importance.heads, importance.neurons, strict=True
        ):
            _permute_heads(block.attn, heads.argsort(descending=True, stable=True))
            order = neurons.argsort(descending=True, stable=True)
            block.mlp.fc1.weight.copy_(block.mlp.fc1.weight[order])
            block.mlp.fc1.bias.copy_(block.mlp.fc1.bias[order])
            block.mlp.fc2.weight.copy_(block.mlp.fc2.weight[:, order])
    return ranked


def _permute_heads(attn: Any, order: Tensor) -> None:
    # timm fuses q, k and v in one matrix: (3, heads, head_dim, dim) once unflattened
    shape = (3, attn.num_heads, attn.head_dim)
    weight = attn.qkv.weight.unflatten(0, shape)[:, order]
    attn.qkv.weight.copy_(weight.flatten(0, 2))
    if attn.qkv.bias is not None:
        attn.qkv.bias.copy_(attn.qkv.bias.unflatten(0, shape)[:, order].flatten())
    columns = attn.proj.weight.unflatten(1, (attn.num_heads, attn.head_dim))[:, order]
    attn.proj.weight.copy_(columns.flatten(1))


@dataclass(frozen=True)
class ElasticOutput:
    """``embeddings (n, tokens, dim)`` and the hidden state after each executed layer."""

    embeddings: Tensor
    hidden: tuple[Tensor, ...]


def forward(
    vit: ViT, images: Tensor, width: float = 1.0, layers: Sequence[int] | None = None
) -> ElasticOutput:
    """Run some layers at some width, on views of the weights: differentiable, nothing copied."""
    x = embeddings = vit.norm_pre(vit._pos_embed(vit.patch_embed(images)))
    hidden = []
    for layer in range(len(vit.blocks)) if layers is None else layers:
        block = vit.blocks[layer]
        x = x + _attention(block.attn, block.norm1(x), kept(width, block.attn.num_heads))
        x = x + _mlp(block.mlp, block.norm2(x), kept(width, block.mlp.fc1.out_features))
        hidden.append(x)
    return ElasticOutput(embeddings, tuple(hidden))


def logits(vit: ViT, hidden: Tensor) -> Tensor:
    """The reference header's logits ``(n, classes)`` from a hidden state."""
    return vit.forward_head(vit.norm(hidden))


def _attention(attn: Any, x: Tensor, heads: int) -> Tensor:
    shape = (3, attn.num_heads, attn.head_dim)
    weight = attn.qkv.weight.unflatten(0, shape)[:, :heads].flatten(0, 2)
    bias = attn.qkv.bias
    bias = None if bias is None else bias.unflatten(0, shape)[:, :heads].flatten()
    qkv = F.linear(x, weight, bias).unflatten(2, (3, heads, attn.head_dim))
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    return F.linear(mixed, attn.proj.weight[:, : heads * attn.head_dim], attn.proj.bias)


def _mlp(mlp: Any, x: Tensor, neurons: int) -> Tensor:
    inner = F.gelu(F.linear(x, mlp.fc1.weight[:neurons], mlp.fc1.bias[:neurons]))
    return F.linear(inner, mlp.fc2.weight[:, :neurons], mlp.fc2.bias)
