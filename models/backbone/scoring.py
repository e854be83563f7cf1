"""Scoring the whole grid of variants on validation data, with the reference header and with
headers of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.backbone.elastic import Grid, forward, layers_of
from models.backbone.family import Backbone
from models.backbone.refit import Read, Refit, refit
from models.backbone.training import device_of, scores

BATCH = 256


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
    batch_size: int = BATCH,
) -> list[VariantScore]:
    """Every variant of ``grid`` on images and labels. With the strategy ``first`` one forward pass
    at a width scores all its depths, since a shallower variant is a prefix of a deeper one."""
    vit.eval()
    images, labels = data
    result = []
    for width in grid.widths:
        outputs = _by_depth(vit, images, width, grid, vit.logits, batch_size)
        for depth in grid.depths:
            result.append(VariantScore(width, depth, *scores(outputs[depth], labels)))
    return result


@torch.no_grad()
def refit_grid(
    vit: Backbone,
    train: tuple[Tensor, Tensor],
    val: tuple[Tensor, Tensor],
    grid: Grid,
) -> list[Refit]:
    """Every variant of ``grid``, in the order of :func:`score_grid`, with a header fitted to it on
    the train samples."""
    vit.eval()
    result = []
    for width in grid.widths:
        of_train, of_val = (
            _by_depth(vit, inputs, width, grid, vit.pooled) for inputs, _ in (train, val)
        )
        for depth in grid.depths:
            own, held_out = Read(of_train[depth], train[1]), Read(of_val[depth], val[1])
            result.append(refit(own, held_out, vit.config.classes))
    return result


@torch.no_grad()
def refit_embeddings(
    vit: Backbone,
    train: tuple[Tensor, Tensor],
    val: tuple[Tensor, Tensor],
) -> Refit:
    """The baseline of no layer: a header fitted to the mean of what comes before the first."""
    vit.eval()
    own, held_out = (
        Read(torch.cat([_mean_embedding(vit, x) for x in inputs.split(BATCH)]), labels)
        for inputs, labels in (train, val)
    )
    return refit(own, held_out, vit.config.classes)


def _mean_embedding(vit: Backbone, inputs: Tensor) -> Tensor:
    x = inputs.to(device_of(vit))
    tokens, mask = vit.embed(x), vit.mask(x)
    if mask is None:
        return tokens.mean(1).cpu()
    return ((tokens * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)).cpu()


def _by_depth(
    vit: Backbone,
    inputs: Tensor,
    width: float,
    grid: Grid,
    read: Callable[..., Tensor],
    batch_size: int = BATCH,
) -> dict[int, Tensor]:
    """What is read of each depth's last layer, by ``vit.pooled`` or ``vit.logits``, of all
    inputs."""
    parts: dict[int, list[Tensor]] = {depth: [] for depth in grid.depths}
    for chunk in inputs.split(batch_size):
        x = chunk.to(device_of(vit))
        mask = vit.mask(x)
        for depth, end in _ends(vit, x, width, grid).items():
            parts[depth].append(read(end, mask).cpu())
    return {depth: torch.cat(chunks) for depth, chunks in parts.items()}


def _ends(vit: Backbone, x: Tensor, width: float, grid: Grid) -> dict[int, Tensor]:
    """The last layer's tokens at each depth."""
    total, strategy = len(vit.blocks), grid.depth_strategy
    if strategy == "first":
        hidden = forward(vit, x, width, range(max(grid.depths))).hidden
        return {depth: hidden[depth - 1] for depth in grid.depths}
    return {
        depth: forward(vit, x, width, layers_of(depth, total, strategy)).hidden[-1]
        for depth in grid.depths
    }
