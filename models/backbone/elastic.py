"""A backbone whose narrower and shallower variants are prefixes of its weights (Sec. III-B1)."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from annotated_types import Gt, Le, MinLen
from torch import Tensor
from torch.func import functional_call

from models.backbone.config import units_of
from models.backbone.family import Backbone, BackboneConfig
from models.backbone.importance import Importance
from models.backbone.units import layered, narrowed, reordered
from models.ranges import Few, twice

Strategy = Literal["first", "even"]


@dataclass(frozen=True)
class Grid:
    """The variants: every width with every depth, and which layers a depth keeps."""

    widths: Annotated[tuple[Annotated[float, Gt(0), Le(1)], ...], MinLen(1)]
    depths: Annotated[tuple[Few, ...], MinLen(1)]
    depth_strategy: Strategy

    def __post_init__(self) -> None:
        for name, values in (("widths", self.widths), ("depths", self.depths)):
            if again := twice(values):
                raise ValueError(f"{name}: {again} stands there more than once")


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


def counts_at(config: BackboneConfig, width: float) -> dict[str, int]:
    """How many units of each kind within layers a width keeps."""
    kinds = {unit.kind for unit in layered(units_of(config))}
    return {kind: kept(width, getattr(config, kind)) for kind in sorted(kinds)}


def variant_config(full: BackboneConfig, width: float, depth: int) -> BackboneConfig:
    """The configuration of the variant at ``(width, depth)``."""
    return replace(full, depth=depth, **counts_at(full, width))


def reorder(backbone: Backbone, importance: Importance) -> Backbone:
    """A copy that computes the same, with each layer's heads and neurons sorted by importance."""
    ranked, units = copy.deepcopy(backbone), layered(units_of(backbone.config))
    for layer, block in enumerate(ranked.blocks):
        orders = {
            kind: scores[layer].argsort(descending=True, stable=True)
            for kind, scores in importance.items()
        }
        block.load_state_dict(reordered(block.state_dict(), units, orders))
    return ranked


@dataclass(frozen=True)
class ElasticOutput:
    """``embeddings (n, tokens, dim)``, the hidden state after each executed layer, and which tokens
    there are ``(n, tokens)``; None where there are always all."""

    embeddings: Tensor
    hidden: tuple[Tensor, ...]
    mask: Tensor | None = None


def forward(
    backbone: Backbone, inputs: Tensor, width: float = 1.0, layers: Sequence[int] | None = None
) -> ElasticOutput:
    """Run some layers at some width, on views of the weights: differentiable, nothing copied. (At
    full width the layers run as they are, and may do so on several threads at once.)"""
    x = embeddings = backbone.embed(inputs)
    mask, hidden = backbone.mask(inputs), []
    units, counts = layered(units_of(backbone.config)), counts_at(backbone.config, width)
    for layer in range(len(backbone.blocks)) if layers is None else layers:
        block = backbone.blocks[layer]
        if width == 1:
            x = block(x, mask)
        else:
            views = narrowed(dict(block.named_parameters()), units, counts)
            x = functional_call(block, views, (x, mask))
        hidden.append(x)
    return ElasticOutput(embeddings, tuple(hidden), mask)
