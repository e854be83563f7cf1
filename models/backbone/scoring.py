"""Scoring the whole grid of variants on validation data, with the reference header and with
headers of their own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.backbone.batches import device_of, in_batches
from models.backbone.elastic import Grid, forward, layers_of
from models.backbone.family import Backbone
from models.backbone.refit import Read, Refit, refit
from models.backbone.slicing import slice_variant
from models.backbone.training import scores


@dataclass(frozen=True)
class VariantScore:
    """A variant's mean cross-entropy and accuracy with the reference header, and those with one of
    its own, where one was fitted."""

    width: float
    depth: int
    loss: float
    accuracy: float
    refit: Refit | None = None


@torch.no_grad()
def score_grid(
    vit: Backbone,
    data: tuple[Tensor, Tensor],
    grid: Grid,
    batch_size: int | None = None,
    train: tuple[Tensor, Tensor] | None = None,
) -> list[VariantScore]:
    """Every variant of ``grid`` on inputs and labels; with ``train`` ones also by a header that is
    fitted to it on these. With the strategy ``first`` one forward pass at a width scores all its
    depths, since a shallower variant is a prefix of a deeper one."""
    vit.eval()
    place, result = device_of(vit), []
    for width in grid.widths:
        narrow = slice_variant(vit, width, len(vit.blocks)).to(place).eval()
        read = _by_depth(narrow, data, grid, batch_size)
        to_fit = _by_depth(narrow, train, grid, batch_size) if train else {}
        for depth in grid.depths:
            logits = vit.head(read[depth].pooled.to(place)).cpu()
            own = refit(to_fit[depth], read[depth], vit.config.classes) if train else None
            result.append(VariantScore(width, depth, *scores(logits, data[1]), own))
    return result


def refit_embeddings(
    vit: Backbone,
    train: tuple[Tensor, Tensor],
    val: tuple[Tensor, Tensor],
) -> Refit:
    """The baseline of no layer: a header fitted to the mean of what comes before the first."""
    vit.eval()
    own, held_out = (
        Read(torch.cat(in_batches(vit, lambda x: _mean_embedding(vit, x), inputs)), labels)
        for inputs, labels in (train, val)
    )
    return refit(own, held_out, vit.config.classes)


def _mean_embedding(vit: Backbone, x: Tensor) -> Tensor:
    tokens, mask = vit.embed(x), vit.mask(x)
    if mask is None:
        return tokens.mean(1).cpu()
    return ((tokens * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)).cpu()


def _by_depth(
    vit: Backbone, data: tuple[Tensor, Tensor], grid: Grid, batch_size: int | None
) -> dict[int, Read]:
    """What the reference header reads of all inputs at each depth."""
    inputs, labels = data

    def pooled(x: Tensor) -> list[Tensor]:
        mask = vit.mask(x)
        return [vit.pooled(end, mask).cpu() for end in _ends(vit, x, grid)]

    parts = zip(*in_batches(vit, pooled, inputs, batch_size), strict=True)
    return {d: Read(torch.cat(part), labels) for d, part in zip(grid.depths, parts, strict=True)}


def _ends(vit: Backbone, x: Tensor, grid: Grid) -> list[Tensor]:
    """The last layer's tokens at each depth."""
    total, strategy = len(vit.blocks), grid.depth_strategy
    if strategy == "first":
        hidden = forward(vit, x, layers=range(max(grid.depths))).hidden
        return [hidden[depth - 1] for depth in grid.depths]
    chosen = (layers_of(depth, total, strategy) for depth in grid.depths)
    return [forward(vit, x, layers=layers).hidden[-1] for layers in chosen]
