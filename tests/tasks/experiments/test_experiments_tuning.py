"""Tuning alone: the steps of Alg. 2 on one device, and nothing else of it."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import torch

from models.header.build import HeaderConfig, build_header
from models.refinement import pruning
from models.refinement.training import DeviceData, LocalSteps, fit_devices
from tasks.experiments.tuning import tuned_alone
from tasks.settings.params import LocalTraining, load

CONFIG = HeaderConfig("mlp", 6, (2, 2), 3, channels=4, hidden=10)
RECIPE = replace(load(Path("params.yaml")).refinement, rounds=2, steps=4, tuning_steps=3)


def test_a_device_takes_the_steps_of_every_round_by_itself() -> None:
    stream = torch.Generator().manual_seed(0)
    data = [
        DeviceData(
            torch.randn(20, 2, 5, 6, generator=stream), torch.randint(3, (20,), generator=stream)
        )
        for _ in range(2)
    ]
    received = [build_header(CONFIG, seed=1) for _ in data]
    before = copy.deepcopy([h.state_dict() for h in received])
    tuned = tuned_alone(received, data, RECIPE, seed=7)
    training = RECIPE.part(LocalTraining)
    for i, (old, header, got) in enumerate(zip(before, received, tuned, strict=True)):
        assert all(torch.equal(old[k], v) for k, v in header.state_dict().items())
        for steps, seed in ((4, 1007), (3, 1507), (4, 2007), (3, 2507)):
            local = LocalSteps(steps, training, RECIPE.joint)
            fit_devices([header], [data[i]], local, [seed + i], batched=False)
        assert pruning.alive_of(got).all()
        for name, value in header.state_dict().items():
            assert torch.allclose(value, got.state_dict()[name], atol=1e-6), name
