"""What devices tell each other is worth: draws of a device's data from a pool of its own, and what
an exchange makes of them.

The cloud's and the edges' stages run once. What seeds vary is which samples of its pool a device
has, which classes it has none of, and the loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.answers import answered, restricted
from models.header.build import restore
from models.header.config import HeaderConfig
from models.header.split import Split
from models.ranges import Answerable
from models.refinement.rounds import shipped
from models.refinement.training import LocalSteps, evaluate_devices, fit_devices
from tasks.data.modality import DataInfo
from tasks.data.plan import DevicePlan
from tasks.data.unseen import unseen_cells
from tasks.device.own import Own
from tasks.device.scores import metrics, scored, split_of
from tasks.links.link import Message
from tasks.links.records import Coarse
from tasks.run.cached import cached
from tasks.run.compute import Machine
from tasks.run.modules import load_header
from tasks.run.store import Ref, put_tensors, read_tensors

Row = dict[str, Any]
SPLITS = ("train", "val", "test")
DRAWN = 6  # name of a random stream, beside those of tasks.data.plan and tasks.data.unseen


@dataclass(frozen=True)
class Member:
    """A device: what the partition knows of it, its context's name, the model that it received, and
    its pool, raw and as features of all three splits under that model's backbone."""

    plan: DevicePlan
    context: str
    model: Message
    samples: Ref
    features: Ref

    @property
    def name(self) -> str:
        return self.plan.name


@dataclass(frozen=True)
class Circle:
    """An edge's devices, in the order of their ids, and the model that all of them received."""

    coarse: Coarse
    members: tuple[Member, ...]

    @property
    def edge(self) -> str:
        return self.coarse.edge

    def peers(self, member: Member) -> int:
        """How many other devices are of its context."""
        return sum(m.context == member.context for m in self.members) - 1


@dataclass(frozen=True)
class Draw:
    """Which part of its pool a device has: drawn by which seed, how many samples of a class to
    train and to choose by (or as many as there are), how many of its classes are in its test
    split alone."""

    seed: int
    samples: int
    val_samples: int
    unseen: int


@dataclass(frozen=True)
class Started:
    """A device with its draw and the header that it received, what it said of that, and what the
    drawn train samples weigh raw, in bytes."""

    own: Own
    said: tuple[Message, ...]
    raw_bytes: int


@cached("{circle.edge}: draw {draw.samples} a class, {draw.unseen} unseen, seed {draw.seed}")
def started(
    circle: Circle, draw: Draw, answers: Answerable, info: DataInfo, machine: Machine
) -> list[Started]:
    """What every device has before the first round; how the received header does on its validation
    split."""
    machine.prepare()
    state, values = read_tensors(circle.coarse.header)
    config, found = HeaderConfig.from_dict(values), []
    for member, wanted in zip(circle.members, missing(circle, draw), strict=True):
        features, raw_bytes = drawn(member, draw, wanted, info)
        own = Own(circle.edge, member.name, member.plan.id, None, member.model, features)
        own = replace(own, answers=answers)
        own = own.after(scored(own, 0, restore(config, state), config, features))
        found.append(Started(own, (metrics(own),), raw_bytes))
    return found


def missing(circle: Circle, draw: Draw) -> list[Tensor]:
    """The classes that each device is only to meet: one of its peers learns each of them."""
    labels = [
        [read_tensors(member.features)[0][f"{split}_labels"].long() for split in SPLITS]
        for member in circle.members
    ]
    classes = 1 + max(int(of.max()) for splits in labels for of in splits)
    dealt = np.array([[np.bincount(of, minlength=classes) for of in splits] for splits in labels])
    plans = [member.plan for member in circle.members]
    cells = unseen_cells(plans, dealt, draw.unseen, draw.seed)
    return [torch.from_numpy(np.flatnonzero(of)) for of in cells]


def drawn(member: Member, draw: Draw, wanted: Tensor, info: DataInfo) -> tuple[Ref, int]:
    """The features of a device's draw, and the bytes of its raw train samples. Of two draws of one
    seed the larger holds the smaller."""
    pool, raw = read_tensors(member.features)[0], read_tensors(member.samples)[0]
    tensors, raw_bytes = dict[str, Tensor](), 0
    for split, count in (("train", draw.samples), ("val", draw.val_samples)):
        stream = np.random.default_rng([draw.seed, DRAWN, member.plan.id, split == "val"])
        data = Split.read(pool, f"{split}_")
        index = chosen(data.labels, count, wanted, stream)
        part = replace(data.at(index), wanted=wanted if split == "train" and len(wanted) else None)
        tensors |= part.compact.named(f"{split}_")
        if split == "train":
            raw_bytes = info.raw_bytes(raw[f"{split}_{info.raw}"][index]) + len(index)
    return put_tensors("features", tensors), raw_bytes


def chosen(labels: Tensor, count: int, but: Tensor, stream: np.random.Generator) -> Tensor:
    """Positions of ``count`` samples of each class that is not ``but`` those, or of all there are,
    in random order: a prefix of what a larger count gives of each class."""
    found = []
    for label in labels.unique().tolist():
        members = stream.permutation(torch.nonzero(labels == label)[:, 0].numpy())
        if label not in but.tolist():
            found.append(torch.from_numpy(members[:count]))
    return torch.cat(found)


@dataclass(frozen=True)
class Bounds:
    """What takes no training (``received``: the header as it came, told the device's classes,
    accuracy on its test split of so many samples), and the ``ceiling`` beside it: the same header
    tuned on all that its pool has to train on."""

    received: float
    ceiling: float
    ceiling_samples: int
    test_samples: int


@cached("{circle.edge}: what there is to gain")
def bounds(circle: Circle, steps: LocalSteps, seed: int, machine: Machine) -> list[Bounds]:
    """By device. All classes of its pool are its classes, whichever a draw leaves out."""
    place = machine.prepare()
    data = [split_of(member.features, "train") for member in circle.members]
    tests = [split_of(member.features, "test") for member in circle.members]
    told = [answered(steps.answers, of.labels) for of in data]
    received, tuned = (
        [load_header(circle.coarse.header)[0].to(place) for _ in circle.members] for _ in range(2)
    )
    before = evaluate_devices([header.eval() for header in received], tests, told)
    fit_devices(tuned, data, steps, [seed + member.plan.id for member in circle.members])
    after = evaluate_devices([header.eval() for header in tuned], tests, told)
    return [
        Bounds(b[1], a[1], len(train.labels), len(test.labels))
        for b, a, train, test in zip(before, after, data, tests, strict=True)
    ]


@cached("{circle.edge}: judge what ships")
def judged(
    circle: Circle,
    start: list[Started],
    owns: Mapping[str, Own],
    machine: Machine,
) -> dict[str, Row]:
    """By device, on its test split: the accuracy of what ships and of the last round, on classes
    that it has no samples of alone (None: there are none), and against what it received, told its
    classes: samples that are right only now (``won``) and that were right only then (``lost``)."""
    place = machine.prepare()
    found = {}
    for member, began in zip(circle.members, start, strict=True):
        features, own = began.own.adopted[1], owns[member.name]
        ships, last = own.rounds[shipped(own.rounds)], own.adopted[2]
        train, test = split_of(features, "train"), split_of(member.features, "test")
        told = answered(began.own.answers, train.labels, train.wanted)
        before, now, after = (
            right(state.header, test.to(place), told) for state in (own.rounds[0], ships, last)
        )
        lacked = None if train.wanted is None else torch.isin(test.labels, train.wanted)
        found[member.name] = {
            "accuracy": now.mean().item(),
            "accuracy_last_round": after.mean().item(),
            "accuracy_wanted": None if lacked is None else now[lacked].mean().item(),
            "won": int((now > before).sum()),
            "lost": int((now < before).sum()),
            "way_shipped": ships.way,
            "rounds": last.round,
            "neurons": ships.neurons / max(1, ships.neurons_received),
            "predicted": own.predicted,
        }
    return found


@torch.no_grad()
def right(header: Ref, test: Split, told: Tensor | None) -> Tensor:
    """1 where a header that answers these classes is right, else 0 ``(n,)``."""
    module = load_header(header)[0].eval().to(test.labels.device)
    return (restricted(module(*test.inputs), told).argmax(1) == test.labels).float().cpu()


def sent_up(device: str, messages: Sequence[Message]) -> dict[str, int]:
    """Bytes that a device sent up, in all (``uplink_bytes``) and by kind (``up_<kind>``)."""
    mine = [m for m in messages if m.sender == device]
    kinds = sorted({m.kind for m in mine})
    by_kind = {f"up_{kind}": sum(m.bytes for m in mine if m.kind == kind) for kind in kinds}
    return {"uplink_bytes": sum(by_kind.values()), **by_kind}
