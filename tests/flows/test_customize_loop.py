"""Alg. 2 as it is shipped, against the same steps written out one device after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from flows.customize import refine
from models.header.build import HeaderConfig, build_header, neurons
from models.refinement import pruning
from models.refinement.training import DeviceData, LocalSteps, evaluate_devices, fit_devices
from tasks.device.rounds import scored
from tasks.links.link import Message
from tasks.links.records import Mixing, State
from tasks.run.compute import Machine
from tasks.run.modules import load_header
from tasks.run.store import Ref, put_tensors
from tasks.settings.params import LocalTraining, Settings, load

CONFIG = HeaderConfig("mlp", 6, (2, 2), 3, channels=4, hidden=10)
NAMES = ("device-00", "device-01", "device-02")
WEIGHTS = ((0.5, 0.5, 0.0), (0.2, 0.8, 0.0), (0.0, 0.0, 1.0))
SHIPPED = load(Path("params.yaml"))
STEPS, TUNING, ROUNDS = 4, 3, 2


def settings(prune_fraction: float) -> Settings:
    changed = {"rounds": ROUNDS, "steps": STEPS, "tuning_steps": TUNING, "batch_size": 8}
    recipe = replace(SHIPPED.refinement, **changed, prune_fraction=prune_fraction, min_per_layer=2)
    return SHIPPED.model_copy(update={"seed": 7, "refinement": recipe})


def samples(count: int, seed: int) -> DeviceData:
    """Labels that a header can learn from the features, so that every round is worth something."""
    stream = torch.Generator().manual_seed(seed)
    features = torch.randn(count, 2, 5, 6, generator=stream)
    return DeviceData(features, features[:, 0, 0, :3].argmax(1))


DATA = [(samples(20, i), samples(60, 10 + i)) for i in range(3)]


@pytest.fixture(autouse=True)
def _in_a_folder(
    prefect_home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path / "results"}):
        yield


def run(recipe: Settings) -> tuple[list[list[State]], list[Message]]:
    """The shipped loop of three devices that received the same header."""
    features, messages = [kept(*data) for data in DATA], list[Message]()
    received = [
        scored(name, 0, build_header(CONFIG, seed=1), CONFIG, own)
        for name, own in zip(NAMES, features, strict=True)
    ]
    mixing = Mixing("north", NAMES, WEIGHTS, WEIGHTS)
    rounds = refine(recipe, "north", received, features, mixing, Machine("cpu", 1), messages)
    assert rounds[0] == received
    return rounds, messages


def kept(train: DeviceData, val: DeviceData) -> Ref:
    splits = {"train": train, "val": val}.items()
    tensors = {f"{split}_features": data.features for split, data in splits}
    return put_tensors("features", tensors | {f"{s}_labels": d.labels for s, d in splits})


def literal(recipe: Settings) -> list[list[torch.nn.Module]]:
    """Every device's header after each round."""
    local, seed = recipe.refinement.part(LocalTraining), recipe.seed
    headers, rounds = [build_header(CONFIG, seed=1) for _ in NAMES], []
    for t in range(1, ROUNDS + 1):
        sets = []
        for i, (train, _) in enumerate(DATA):
            steps = LocalSteps(STEPS, local, recipe.refinement.joint)
            own = fit_devices([headers[i]], [train], steps, [seed + 1000 * t + i], batched=False)
            sets.append(own[0].numpy())
        for i, (train, _) in enumerate(DATA):
            mixed = sum(WEIGHTS[i][j] * sets[j].astype(np.float64) for j in range(len(NAMES)))
            count = int(recipe.refinement.prune_fraction * len(sets[i]))
            alive, sizes = pruning.alive_of(headers[i]), list(neurons(headers[i]).values())
            pruning.apply_masks(headers[i], pruning.choose(mixed, alive, count, sizes, 2))
            steps = LocalSteps(TUNING, local)
            fit_devices([headers[i]], [train], steps, [seed + 1000 * t + 500 + i], batched=False)
        rounds.append([build_header(CONFIG, seed=1) for _ in NAMES])
        for copy, header in zip(rounds[-1], headers, strict=True):
            copy.load_state_dict(header.state_dict())
    return rounds


@pytest.mark.parametrize("prune_fraction", [0.2, 0.0])
def test_it_is_train_mix_prune_tune(prune_fraction: float) -> None:
    recipe = settings(prune_fraction)
    rounds, messages = run(recipe)
    assert len(rounds) == ROUNDS + 1, "every round helped somebody"
    for states, headers in zip(rounds[1:], literal(recipe), strict=True):
        for state, header, (_, val) in zip(states, headers, DATA, strict=True):
            got = load_header(state.header)[0].state_dict()
            for name, value in header.state_dict().items():
                assert torch.allclose(value, got[name], atol=1e-5), name
            [expected] = evaluate_devices([header], [val])
            assert (state.val_loss, state.val_accuracy) == pytest.approx(expected, abs=1e-4)
    left = round(10 * (1 - prune_fraction * ROUNDS))
    assert {state.neurons for state in rounds[-1]} == {left}
    assert [m.kind for m in messages].count("importance_set") == len(NAMES) * ROUNDS


def test_it_ends_when_no_device_gains() -> None:
    recipe = settings(0.0)
    still = replace(recipe.refinement, lr=1e-12, weight_decay=0.0)
    rounds, _ = run(recipe.model_copy(update={"refinement": still}))
    assert len(rounds) == 2
