"""Alg. 2 in one piece and in memory: what experiments compare, without links between tiers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from models.header.build import neurons
from models.refinement import pruning
from models.refinement.aggregation import aggregate
from models.refinement.similarity import Matrix
from models.refinement.training import DeviceData, fit_devices


@dataclass(frozen=True)
class LoopRecipe:
    """T rounds of ``steps`` local steps, pruning, and ``tuning_steps`` more; ``prune_fraction`` of
    the received header's neurons go in each round."""

    rounds: int
    steps: int
    tuning_steps: int
    batch_size: int
    lr: float
    weight_decay: float
    prune_fraction: float
    min_per_layer: int
    joint: str


@dataclass(frozen=True)
class Refined:
    """Every device's header after the last pruning and after tuning what it left."""

    pruned: list[nn.Module]
    tuned: list[nn.Module]


def refine(
    headers: Sequence[nn.Module],
    data: Sequence[DeviceData],
    weights: Matrix | None,
    recipe: LoopRecipe,
    seed: int,
) -> Refined:
    """Train, mix importance sets (Eq. 21), prune, tune; T times. The arguments stay as they are.

    Args:
        weights: of Eq. 20, ``(devices, devices)``; None prunes neurons at random, the control.
    """
    current = [copy.deepcopy(header) for header in headers]
    pruned = current
    random = np.random.default_rng(seed)
    for t in range(1, recipe.rounds + 1):
        sets = _fit(current, data, recipe, recipe.steps, seed + 1000 * t).double().numpy()
        mixed = random.random(sets.shape) if weights is None else aggregate(sets, weights)
        for header, importance in zip(current, mixed, strict=True):
            _prune(header, importance, recipe)
        pruned = [copy.deepcopy(header) for header in current]
        _fit(current, data, recipe, recipe.tuning_steps, seed + 1000 * t + 500)
    return Refined(pruned, current)


def _fit(headers, data, recipe: LoopRecipe, steps: int, seed: int):  # type: ignore[no-untyped-def]
    return fit_devices(
        headers,
        data,
        steps=steps,
        batch_size=recipe.batch_size,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        seeds=[seed + i for i in range(len(headers))],
        joint=recipe.joint,
    )


def _prune(header: nn.Module, importance: np.ndarray, recipe: LoopRecipe) -> None:
    count = int(recipe.prune_fraction * len(importance))
    sizes = list(neurons(header).values())
    alive = pruning.alive_of(header)
    pruning.apply_masks(
        header, pruning.choose(importance, alive, count, sizes, recipe.min_per_layer)
    )
