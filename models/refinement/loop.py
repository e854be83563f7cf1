"""Alg. 2 in one piece and in memory: what experiments compare, without links between tiers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from models.progress import OnStep, ignore
from models.refinement import pruning
from models.refinement.aggregation import aggregate
from models.refinement.recipe import LocalTraining, Pruning
from models.refinement.similarity import Matrix
from models.refinement.training import DeviceData, LocalSteps, fit_devices


@dataclass(frozen=True)
class LoopRecipe:
    """T rounds of ``steps`` local steps, pruning, and ``tuning_steps`` more."""

    rounds: int
    steps: int
    tuning_steps: int
    batch_size: int
    lr: float
    weight_decay: float
    min_per_layer: int
    joint: str


@dataclass(frozen=True)
class Way:
    """How one method prunes: by whom a device listens to (Eq. 20, ``(devices, devices)``; None
    takes neurons at random), and which share of the received header's neurons go in a round."""

    weights: Matrix | None
    prune_fraction: float


@dataclass(frozen=True)
class Refined:
    """Every device's header after the last pruning and after tuning what it left."""

    pruned: list[nn.Module]
    tuned: list[nn.Module]


def refine(
    headers: Sequence[nn.Module],
    data: Sequence[DeviceData],
    ways: Sequence[Way],
    recipe: LoopRecipe,
    seed: int,
    on_round: OnStep = ignore,
) -> list[Refined]:
    """Train, mix importance sets (Eq. 21), prune, tune; T times, for all ways in one batched step.

    A device sees the same batches under every way, so ways are paired. The arguments stay as they
    are.

    Returns:
        One outcome a way, in their order.
    """
    count = len(headers)
    current = [copy.deepcopy(header) for _ in ways for header in headers]
    pruned = current
    random = np.random.default_rng(seed)
    for t in range(1, recipe.rounds + 1):
        sets = _fit(current, data, recipe, recipe.steps, seed + 1000 * t).double().numpy()
        for i, way in enumerate(ways):
            part = slice(i * count, (i + 1) * count)
            mixed = (
                random.random(sets[part].shape)
                if way.weights is None
                else aggregate(sets[part], way.weights)
            )
            for header, importance in zip(current[part], mixed, strict=True):
                amount = Pruning(way.prune_fraction, recipe.min_per_layer)
                pruning.prune(header, importance, amount)
        pruned = [copy.deepcopy(header) for header in current]
        _fit(current, data, recipe, recipe.tuning_steps, seed + 1000 * t + 500)
        on_round(t, recipe.rounds, {})
    starts = range(0, len(current), count)
    return [Refined(pruned[s : s + count], current[s : s + count]) for s in starts]


def _fit(
    headers: Sequence[nn.Module],
    data: Sequence[DeviceData],
    recipe: LoopRecipe,
    steps: int,
    seed: int,
) -> Tensor:
    ways = len(headers) // len(data)
    training = LocalTraining(recipe.batch_size, recipe.lr, recipe.weight_decay)
    seeds = [seed + i for i in range(len(data))] * ways
    return fit_devices(headers, list(data) * ways, LocalSteps(steps, training, recipe.joint), seeds)
