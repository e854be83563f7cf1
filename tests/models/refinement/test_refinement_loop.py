"""Alg. 2 in one piece: the steps it is made of, and what it leaves alone."""

from __future__ import annotations

import copy

import numpy as np
import torch

from models.header.build import build_header, neurons
from models.header.config import HeaderConfig
from models.refinement import pruning
from models.refinement.loop import LoopRecipe, Way, refine
from models.refinement.recipe import LocalTraining
from models.refinement.training import DeviceData, LocalSteps, fit_devices

CONFIG = HeaderConfig("mlp", 6, (2, 2), 3, channels=4, hidden=10)
RECIPE = LoopRecipe(
    rounds=2,
    steps=4,
    tuning_steps=3,
    batch_size=8,
    lr=1e-3,
    weight_decay=0.01,
    min_per_layer=2,
    joint="group",
)


def devices() -> tuple[list[torch.nn.Module], list[DeviceData]]:
    stream = torch.Generator().manual_seed(0)
    data = [
        DeviceData(
            torch.randn(20, 2, 5, 6, generator=stream), torch.randint(3, (20,), generator=stream)
        )
        for _ in range(3)
    ]
    return [build_header(CONFIG, seed=1) for _ in data], data


def fit(headers: list[torch.nn.Module], data: list[DeviceData], steps: int, seed: int):  # type: ignore[no-untyped-def]
    return fit_devices(
        headers,
        data,
        LocalSteps(steps, LocalTraining(batch_size=8, lr=1e-3, weight_decay=0.01)),
        [seed, seed + 1, seed + 2],
    )


def test_it_is_train_mix_prune_tune() -> None:
    headers, data = devices()
    weights = np.array([[0.5, 0.5, 0], [0.2, 0.8, 0], [0, 0, 1.0]])
    # a second way beside it changes nothing
    result, _ = refine(headers, data, [Way(weights, 0.2), Way(None, 0.4)], RECIPE, seed=7)
    for t in (1, 2):
        sets = fit(headers, data, 4, 7 + 1000 * t).double().numpy()
        for i, header in enumerate(headers):
            mixed = sum(weights[i, j] * sets[j] for j in range(3))
            alive = pruning.alive_of(header)
            sizes = list(neurons(header).values())
            pruning.apply_masks(header, pruning.choose(mixed, alive, 2, sizes, 2))
        fit(headers, data, 3, 7 + 1000 * t + 500)
    for literal, got in zip(headers, result.tuned, strict=True):
        for name, value in literal.state_dict().items():
            assert torch.allclose(value, got.state_dict()[name], atol=1e-6), name


def test_the_arguments_stay_as_they_are() -> None:
    headers, data = devices()
    before = copy.deepcopy([h.state_dict() for h in headers])
    [result] = refine(headers, data, [Way(None, 0.2)], RECIPE, seed=0)
    for old, header in zip(before, headers, strict=True):
        assert all(torch.equal(old[k], header.state_dict()[k]) for k in old)
    assert all(pruning.alive_of(h).sum() == 6 for h in result.pruned)  # 10 less 2 twice


def test_fine_tuning_alone_prunes_nothing() -> None:
    headers, data = devices()
    [result] = refine(headers, data, [Way(np.eye(3), 0.0)], RECIPE, seed=0)
    assert all(pruning.alive_of(h).all() for h in result.tuned)
