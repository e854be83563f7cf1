"""Fig. 11's methods are ways of the shipped loop: what differs between them, and what does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from flows.experiments.bench import Base
from flows.experiments.refining import Start, carrier_of, refined, rounds
from flows.job import Job
from models.backbone.training import scores
from models.header.build import HeaderConfig, build_header, neurons, state_of
from models.refinement import pruning
from tasks.data.samples import World
from tasks.experiments.refining import cells as refining
from tasks.experiments.refining.cells import RANDOM, TUNED, WAYS, Cluster, Place
from tasks.links.records import State
from tasks.run.compute import Machine
from tasks.run.modules import load_header
from tasks.run.store import put_tensors, read_tensors
from tasks.settings.params import Refinement, load
from tests.tiny import ROOT

pytestmark = pytest.mark.usefixtures("flows_in_tmp")

CONFIG = HeaderConfig("mlp", 6, (2, 2), 3, channels=4, hidden=10)
SETTINGS = load(ROOT / "params.yaml")
CHANGED = {"rounds": 2, "steps": 4, "tuning_steps": 3, "batch_size": 8, "min_per_layer": 2}
RECIPE = replace(SETTINGS.refinement, **CHANGED)
STILL = replace(RECIPE, lr=1e-12, weight_decay=0.0)  # nobody gains
PLACE = Place("mlp", "iid", 16, 0.4)
INFO: Any = None  # no sample is read


def features(seed: int) -> dict[str, torch.Tensor]:
    stream, tensors = torch.Generator().manual_seed(seed), {}
    for split, count in (("train", 20), ("val", 12), ("test", 30)):
        x = torch.randn(count, 2, 5, 6, generator=stream).half()
        tensors |= {f"{split}_features": x, f"{split}_labels": x[:, 0, 0, :3].argmax(1).short()}
    return tensors


def start() -> tuple[Base, Start]:
    machine = Machine("cpu", 1)
    base = Base(Job(SETTINGS, World(INFO, {}), machine), None, [])  # type: ignore[arg-type]
    names = tuple(f"device-{i:02d}" for i in range(3))
    scale = put_tensors("scale", {"mean": torch.zeros(6), "std": torch.ones(6)})
    cluster = Cluster(names, [put_tensors("features", features(i)) for i in range(3)], scale)
    header = put_tensors("header", state_of(build_header(CONFIG, seed=1)), CONFIG.to_dict())
    received = refining.received(cluster, header, PLACE.samples, machine)
    return base, Start(PLACE, cluster, received)


def after(method: str, recipe: Refinement = RECIPE) -> list[State]:
    base, received = start()
    return rounds(received, carrier_of(base, received, recipe, method))


def alive(state: State) -> list[bool]:
    kept: list[bool] = pruning.alive_of(load_header(state.header)[0]).tolist()
    return kept


@pytest.mark.parametrize("method", list(WAYS))
def test_all_methods_prune_the_same_share_whoever_gains(method: str) -> None:
    count = sum(neurons(build_header(CONFIG)).values())
    gone = 0 if method == TUNED else int(count * PLACE.strength)
    states = after(method, STILL)
    assert {(s.round, s.neurons) for s in states} == {(RECIPE.rounds, count - gone)}


def test_at_random_each_device_draws_its_own_and_the_same_again() -> None:
    states = after(RANDOM, STILL)
    assert states == after(RANDOM, STILL)
    drawn = [alive(state) for state in states]
    assert len({tuple(kept) for kept in drawn}) > 1
    assert drawn != [alive(state) for state in after("average", STILL)]


def test_who_listens_to_nobody_prunes_as_if_there_were_no_peers() -> None:
    base, received = start()
    one = replace(
        received,
        cluster=replace(
            received.cluster,
            devices=received.cluster.devices[1:2],
            features=received.cluster.features[1:2],
        ),
        adopted=received.adopted[1:2],
    )
    [lonely] = rounds(one, carrier_of(base, one, RECIPE, "alone"))
    assert alive(lonely) == alive(after("alone")[1])
    assert lonely.val_loss == pytest.approx(after("alone")[1].val_loss, abs=1e-5)


def test_devices_have_no_test_split_and_are_judged_by_it() -> None:
    base, received = start()
    for answer in received.adopted:
        tensors, _ = read_tensors(answer.own.adopted[1])
        assert {name.split("_")[0] for name in tensors} == {"train", "val"}
        assert len(tensors["train_labels"]) == PLACE.samples
    row = refined(base, received, RECIPE, "wasserstein")
    found = after("wasserstein")
    for column, refs in (
        ("received", [answer.own.adopted[2].header for answer in received.adopted]),
        ("after_pruning", [state.pruned for state in found]),
        ("after_tuning", [state.header for state in found]),
    ):
        accuracies = []
        for i, ref in enumerate(refs):
            assert ref is not None
            data = features(i)
            logits = load_header(ref)[0](data["test_features"].float())
            accuracies.append(scores(logits.detach(), data["test_labels"].long())[1])
        assert row[column] == pytest.approx(sum(accuracies) / 3), column
