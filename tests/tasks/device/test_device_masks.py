"""Padded texts from end to end: public features go down with their mask, an edge searches with it,
devices keep theirs with it, train and prune. What stands in padding changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.backbone import config as registry
from models.header.config import SEARCHED
from models.header.split import Split
from models.refinement.recipe import LocalTraining, Pruning, Sketching
from models.refinement.training import LocalSteps
from tasks.cloud.backbone import send_backbone, send_public_features
from tasks.cloud.public import Public
from tasks.data.modality import DataInfo
from tasks.device import choice, features, rounds
from tasks.device.drifted import describe
from tasks.device.own import Own
from tasks.device.scores import split_of
from tasks.edge.header import Material, search_header, send_model
from tasks.links.link import Message, Route, receive, send
from tasks.links.records import Coarse, Search
from tasks.run.compute import Machine
from tasks.run.errors import LinkError
from tasks.run.modules import put_backbone
from tasks.run.store import Ref, put_tensors, read_tensors
from tasks.settings.params import HeaderSearch, load
from tests.models.backbone import toy
from tests.tiny import ROOT

CONFIG = toy.ToyConfig(
    length=6, vocabulary=9, classes=3, dim=8, depth=2, heads=2, head_dim=4, mlp_hidden=8
)
MACHINE, SEED = Machine("cpu", 1), 3
STEPS = LocalSteps(5, LocalTraining(8, 1e-2, 0.01))
NAMES = ("device-00", "device-01")


@dataclass(frozen=True)
class TextInfo(DataInfo):
    """Word numbers, padded."""

    modality: ClassVar[str] = "text"
    raw: ClassVar[str] = "words"
    bins: ClassVar[int] = 8

    @property
    def shape(self) -> tuple[int, ...]:
        return (CONFIG.length,)

    def prepare(self) -> nn.Module:
        return nn.Identity()

    def inputs(self, raw: Tensor) -> Tensor:
        return raw.long()

    def shipped(self, raw: Tensor, words: Tensor | None = None) -> Tensor:
        return raw.long()

    def summary(self, raw: Tensor) -> NDArray[np.float64]:
        return (raw >= 0).double().mean(1).numpy()

    def raw_bytes(self, raw: Tensor) -> int:
        return raw.numel()

    def example(self, count: int, words: Tensor | None = None) -> Tensor:
        return torch.zeros(count, CONFIG.length, dtype=torch.long)


INFO = TextInfo("words", ("a", "b", "c"))


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.FAMILIES, "toy", toy.FAMILY)
    monkeypatch.chdir(tmp_path)


def samples(seed: int, count: int = 24) -> Ref:
    """Texts of two to six words, labelled by their first."""
    stream, tensors = torch.Generator().manual_seed(seed), {}
    for split in ("train", "val"):
        words = torch.randint(9, (count, 6), generator=stream)
        ends = torch.randint(2, 7, (count, 1), generator=stream)
        words[torch.arange(6) >= ends] = toy.PADDING
        tensors[f"{split}_words"] = words.to(torch.int8)
        tensors[f"{split}_labels"] = words[:, 0] % 3
    return put_tensors("samples", tensors)


def poisoned(kept: Ref) -> Ref:
    """Features with garbage where there is padding."""
    tensors, _ = read_tensors(kept)
    for split in ("train", "val"):
        mask = tensors[f"{split}_mask"][:, None, :, None]
        tensors[f"{split}_features"] = tensors[f"{split}_features"].where(mask, 7.0)
    return put_tensors("features", tensors)


def of_public() -> tuple[Ref, Message]:
    cut = put_backbone(registry.build(CONFIG, seed=1))
    public = Public(samples(0), INFO)
    return cut, send_public_features.fn("edge", cut, public, 20, MACHINE)


def searched(shared: Ref, cut: Ref, public: Message) -> Search:
    """The edge's search."""
    backbone = send_backbone.fn("edge", cut)
    small = {"epochs": 2, "weight_steps": 2, "controller_steps": 1, "retrain_steps": 6}
    recipe = replace(load(ROOT / "params.yaml").edge.part(HeaderSearch), **small, repeats=1)
    material = Material("edge", backbone, public, shared, 10**6)
    return search_header.fn(material, recipe, SEED, MACHINE)


def shared_set() -> Ref:
    """What :func:`embed_shared` keeps, of the public texts."""
    _, public = of_public()
    tensors, _ = receive(public)
    train, val = Split.read(tensors, ""), Split.read(tensors, "val_")
    return put_tensors("features", train.named("train_") | val.named("val_"))


def refined(owns: list[Own]) -> list[Own]:
    """After a round in which each gets its own importance set back."""
    turn = rounds.Turn("edge", 1, "importance", SEED)
    work = rounds.Work(STEPS, STEPS, Pruning(0.2, 1))
    trained = rounds.train(owns, turn, work, rounds.Speech(), MACHINE)
    back: list[Message | None] = []
    for answer in trained:
        [said], own = answer.messages, answer.own
        route = Route("edge", own.device, 1, said.run)
        back.append(send("mixed_importance", route, receive(said)[0]))
    owns = [answer.own for answer in trained]
    owns = [answer.own for answer in rounds.prune(owns, back, turn, work, MACHINE)]
    alone: list[Own | None] = [None] * len(owns)
    return [a.own for a in choice.finish(owns, alone, turn, work, "importance", MACHINE)]


def test_public_features_travel_with_their_masks() -> None:
    _, message = of_public()
    tensors, _ = receive(message)
    assert (tensors["mask"].shape, tensors["val_mask"].shape) == ((20, 7), (5, 7))
    assert not tensors["mask"].all()
    del tensors["mask"], tensors["val_mask"]
    assert send("public_features", Route("cloud", "edge"), tensors).bytes < message.bytes
    del tensors["labels"]
    with pytest.raises(LinkError, match="tensors"):
        send("public_features", Route("cloud", "edge"), tensors)


def test_a_search_does_not_see_what_stands_in_padding() -> None:
    shared, given = shared_set(), of_public()
    assert poisoned(shared) != shared
    found = searched(shared, *given)
    assert len({header.val_loss for header in found.headers}) > 3
    assert searched(poisoned(shared), *given) == found


def test_devices_adopt_train_and_prune_with_their_masks() -> None:
    shared, (cut, public) = shared_set(), of_public()
    headers = {header.kind: header for header in searched(shared, cut, public).headers}
    coarse, owns = Coarse("edge", cut, headers[SEARCHED].state), []
    models = send_model.fn(coarse, tuple(NAMES), shared)
    for number, (name, model) in enumerate(zip(NAMES, models, strict=True)):
        own = Own("edge", name, number, samples(10 + number))
        owns.append(features.adopt(own, model, INFO, MACHINE).own)
    for own in owns:
        facts = describe(own.device, own.data, INFO)
        assert sum(facts.looks[:2]) < 0.1  # of texts, how full they are: two of six or more
        [sketch] = features.sketch(own, Sketching(8, sketch="samples"), SEED).messages
        assert receive(sketch)[0]["features"].shape == (8, CONFIG.dim)
        assert split_of(own.adopted[1], "train").mask is not None
    elsewhere = [replace(own, features=poisoned(own.adopted[1])) for own in owns]
    after = refined(owns)
    assert [own.rounds for own in after] == [own.rounds for own in refined(elsewhere)]
    assert all(own.adopted[2].neurons < own.adopted[2].neurons_received for own in after)
