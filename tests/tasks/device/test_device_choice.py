"""What a device judges its models by, and what it ships."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.header.build import state_of
from models.header.config import HeaderConfig
from models.refinement.exchange import DeviceState
from models.refinement.exchanges import EXCHANGES
from models.refinement.recipe import LocalTraining, Pruning
from models.refinement.training import LocalSteps
from tasks.device.choice import Judge, finish
from tasks.device.own import Own
from tasks.device.rounds import Speech, Turn, Work, prune, train
from tasks.device.scores import scored
from tasks.links.link import Message, Route, send
from tasks.run.compute import Machine
from tasks.run.store import put_tensors
from tests.models.refinement.made_up import CONFIG, fitted, world

MACHINE, ROUNDS = Machine("cpu", 1), 2
STEPS = LocalSteps(60, LocalTraining(16, 0.01, 0.0), answers="wanted")
WORK = Work(STEPS, STEPS, Pruning(0.25, 1))
LACKS = 1
"""The class that the first device wants and has no samples of."""


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Pair:
    """Two devices of one context that public data do not have; the second knows all classes."""

    def __init__(self, exchange: str, config: HeaderConfig = CONFIG) -> None:
        self.world, self.turn = world(3), Turn("edge", ROUNDS, exchange, 5)
        self.basis = self.world.basis()
        received = fitted(self.world.split(40))
        tensors = {f"header.{k}": v for k, v in state_of(received).items()}
        tensors |= self.basis.compact.named("basis.")
        values = {"config": {"header": config.to_dict()}}
        model = send("customized_model", Route("edge", "device-00"), tensors, values)
        self.owns = [self.device(i, model, received, config) for i in range(2)]

    def device(self, number: int, model: Message, received: torch.nn.Module, config) -> Own:
        classes = (0, 2) if number == 0 else (0, 1, 2)
        samples = {split: self.world.split(30, 0, classes) for split in ("train", "val")}
        if number == 0:
            samples["train"] = replace(samples["train"], wanted=torch.tensor([LACKS]))
        tensors = samples["train"].named("train_") | samples["val"].named("val_")
        features = put_tensors("features", tensors)
        own = Own("edge", f"device-0{number}", number, None, model, features, answers="wanted")
        return own.after(scored(own, 0, received, config, features))

    def loop(self) -> list[Own]:
        """Both devices after their rounds and their choice; both hear each other."""
        how, owns = EXCHANGES[self.turn.exchange], self.owns
        for t in range(1, ROUNDS + 1):
            turn = replace(self.turn, round=t)
            trained = train(owns, turn, WORK, Speech(), MACHINE)
            owns = [answer.own for answer in trained]
            bodies: list[Message | None] = [None, None]
            if how.up and how.says_something(t):
                sent = [how.prepare(self.state(own))[0] for own in owns]
                back = how.combine(sent, torch.full((2, 2), 0.5).numpy())
                assert how.down is not None
                route = [Route("edge", own.device, t, own.run) for own in owns]
                bodies = [send(how.down.kind, r, body) for r, body in zip(route, back, strict=True)]
            owns = [answer.own for answer in prune(owns, bodies, turn, WORK, MACHINE)]
        twins: list[Own | None] = [None] * len(owns)
        if how.up:
            twins = [*Pair("none").loop()]
        return [
            answer.own for answer in finish(owns, twins, self.turn, WORK, "importance", MACHINE)
        ]

    def state(self, own: Own) -> DeviceState:
        from tasks.device import rounds

        return rounds._state_of(own)

    def accuracy_on_test(self, own: Own, classes: tuple[int, ...]) -> float:
        [ships] = [state for state in own.rounds if state.ships]
        data = self.world.split(100, 0, classes)
        told = torch.tensor([0, 1, 2])
        return Judge(data, 0, told)(ships).accuracy


def test_virtual_samples_stand_in_for_what_a_device_cannot_judge_by() -> None:
    pair = Pair("statistics")
    first, second = pair.loop()
    assert first.receipt is not None
    assert second.receipt is not None
    assert (first.receipt.samples, first.receipt.virtual) == (60, 30), "as many as of its classes"
    assert second.receipt.virtual == 0, "it has samples of all that it wants"
    judge = Judge.of(first, pair.turn)
    assert judge.data.labels.bincount().tolist() == [30, 30, 30]
    assert judge.told is not None
    assert judge.told.tolist() == [0, 1, 2]


def test_what_ships_knows_the_class_that_only_the_peer_has() -> None:
    pair = Pair("statistics")
    first, _ = pair.loop()
    assert first.receipt is not None
    assert first.receipt.ships in ("peers", "pruned")
    assert pair.accuracy_on_test(first, (LACKS,)) > 0.8
    assert pair.accuracy_on_test(first, (0, 2)) > 0.8
    assert first.receipt.gained[ROUNDS] > 0.2
    alone, _ = Pair("none").loop()
    assert pair.accuracy_on_test(alone, (LACKS,)) < 0.5, "by itself it cannot learn that"


def test_who_answers_its_own_classes_judges_by_its_own_samples() -> None:
    pair = Pair("statistics")
    pair.owns = [replace(own, answers="own") for own in pair.owns]
    first, _ = pair.loop()
    assert first.receipt is not None
    assert first.receipt.virtual == 0


def test_too_few_samples_of_a_class_are_withheld_and_the_receipt_says_so() -> None:
    pair = Pair("statistics")
    own = pair.owns[1]
    few = pair.world.split(30, 0, (0, 2)).join(pair.world.split(2, 0, (1,)))
    tensors = few.named("train_") | pair.world.split(10, 0).named("val_")
    pair.owns[1] = replace(own, features=put_tensors("features", tensors))
    _, second = pair.loop()
    assert second.receipt is not None
    assert second.receipt.withheld == 1
