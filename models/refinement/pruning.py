"""Which neurons a device discards, and the masks that say so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.header.build import neurons, prunable_layers
from models.refinement.recipe import Pruning

Alive = NDArray[np.bool_]
"""``(neurons,)`` over all prunable layers in module order: True where a neuron is kept."""


def prune(header: nn.Module, importance: NDArray[np.floating], amount: Pruning) -> None:
    """Mask a header's least important neurons, in place.

    Raises:
        ValueError: the importance set is another header's.
    """
    count = int(amount.prune_fraction * len(importance))
    sizes = list(neurons(header).values())
    alive = choose(importance, alive_of(header), count, sizes, amount.min_per_layer)
    apply_masks(header, alive)


def choose(
    importance: NDArray[np.floating],
    alive: Alive,
    count: int,
    layer_sizes: Sequence[int],
    min_per_layer: int,
) -> Alive:
    """``alive`` without its ``count`` least important neurons (ties: the lower index goes first).

    No layer falls below ``min_per_layer``; fewer than ``count`` go if there are not enough.

    Raises:
        ValueError: the importance set, the mask and the layers differ in their neurons.
    """
    sizes = np.asarray(layer_sizes, dtype=np.int64)
    if not len(importance) == len(alive) == sizes.sum():
        raise ValueError(
            f"{len(importance)} importances and {len(alive)} alive flags for {sizes.sum()} neurons"
        )
    kept = alive.copy()
    layer = np.repeat(np.arange(len(sizes)), sizes)
    left = np.bincount(layer[alive], minlength=len(sizes))
    for neuron in np.argsort(importance, kind="stable"):
        if count <= 0:
            break
        if kept[neuron] and left[layer[neuron]] > min_per_layer:
            kept[neuron] = False
            left[layer[neuron]] -= 1
            count -= 1
    return kept


def alive_of(header: nn.Module) -> Alive:
    """Which neurons of a header at full shape are not masked."""
    masks = [layer.mask.cpu() for _, layer in prunable_layers(header)]
    return (torch.cat(masks) > 0).numpy() if masks else np.zeros(0, dtype=bool)


def apply_masks(header: nn.Module, alive: Alive) -> None:
    """Mask the neurons that are not alive, in place."""
    start = 0
    for _, layer in prunable_layers(header):
        chosen = alive[start : start + layer.out_features]
        layer.mask.copy_(torch.from_numpy(chosen.astype(np.float32)))
        start += layer.out_features
