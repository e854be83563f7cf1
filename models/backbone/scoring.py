"""Scoring the whole grid of variants on validation data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.backbone.elastic import Grid, forward, layers_of
from models.backbone.family import Backbone
from models.backbone.training import device_of, scores


@dataclass(frozen=True)
class VariantScore:
    """A variant's mean cross-entropy and accuracy with the reference header."""

    width: float
    depth: int
    loss: float
    accuracy: float


@torch.no_grad()
def score_grid(
    vit: Backbone,
    data: tuple[Tensor, Tensor],
    grid: Grid,
    batch_size: int = 256,
) -> list[VariantScore]:
    """Every variant of ``grid`` on images and labels. With the strategy ``first`` one forward pass
    at a width scores all its depths, since a shallower variant is a prefix of a deeper one."""
    vit.eval()
    images, labels = data
    result = []
    for width in grid.widths:
        outputs = _logits_by_depth(vit, images, width, grid, batch_size)
        for depth in grid.depths:
            result.append(VariantScore(width, depth, *scores(outputs[depth], labels)))
    return result


def _logits_by_depth(
    vit: Backbone,
    images: Tensor,
    width: float,
    grid: Grid,
    batch_size: int,
) -> dict[int, Tensor]:
    place, total = device_of(vit), len(vit.blocks)
    depths, strategy = grid.depths, grid.depth_strategy
    parts: dict[int, list[Tensor]] = {depth: [] for depth in depths}
    for chunk in images.split(batch_size):
        x = chunk.to(place)
        if strategy == "first":
            deepest = forward(vit, x, width, range(max(depths)))
            ends = {depth: deepest.hidden[depth - 1] for depth in depths}
        else:
            ends = {
                depth: forward(vit, x, width, layers_of(depth, total, strategy)).hidden[-1]
                for depth in depths
            }
        for depth, end in ends.items():
            parts[depth].append(vit.logits(end, vit.mask(x)).cpu())
    return {depth: torch.cat(chunks) for depth, chunks in parts.items()}
