"""Who is attacked: the default fleet's devices after their local steps, and shadows of them that an
attacker makes of public data."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from models.backbone.family import Backbone
from models.backbone.features import extract
from models.header.config import HeaderConfig
from models.header.kinds import seen_by
from models.header.search import evaluate
from models.header.split import Split
from models.refinement.exchange import DeviceState, Received
from models.refinement.training import LocalSteps, fit_devices
from models.sensors import seen
from tasks.data.dataset import content_hashes
from tasks.data.modality import DataInfo
from tasks.data.samples import World, read_split
from tasks.report.heldout import unused_split
from tasks.run.store import read_tensors

Look = Callable[[Tensor], Tensor]
"""From samples as backbones take them to what of them is rebuilt ``(n, parts)``."""


@dataclass(frozen=True)
class Seen:
    """Samples as a backbone sees them, and what of them is rebuilt ``(n, parts)``: an image's
    pixels, which words a text has."""

    data: Split
    looks: Tensor

    def at(self, index: Tensor) -> Seen:
        """Some of them."""
        return Seen(self.data.at(index), self.looks[index])

    def first(self, count: int) -> Seen:
        """The first samples of each class."""
        labels = self.data.labels
        found = [(labels == label).nonzero().flatten()[:count] for label in labels.unique()]
        return self.at(torch.cat(found))

    def of_classes(self, classes: Tensor) -> Seen:
        """Those of some classes."""
        return self.at(torch.isin(self.data.labels, classes))


@dataclass(frozen=True)
class View:
    """How samples are seen: under which backbone, what of them is rebuilt, and by which header,
    where it reads less of them than there is."""

    vit: Backbone
    look: Look
    header: HeaderConfig | None = None

    def of(self, samples: tuple[Tensor, Tensor]) -> Seen:
        """Of samples as backbones take them, and their labels."""
        inputs, labels = samples
        data = Split.of(extract(self.vit, inputs), labels)
        return Seen(seen_by(self.header, data) if self.header else data, self.look(inputs))


def pixels(inputs: Tensor) -> Tensor:
    """Of images: all of them."""
    return inputs.flatten(1)


def words_of(texts: Tensor, least: int = 5) -> Look:
    """Of texts: which tokens each has, of those that at least so many of public ``texts``
    ``(n, length)`` have, and at most half of them."""
    having = torch.stack([row.bincount(minlength=int(texts.max()) + 1) > 0 for row in texts])
    count = having.sum(0)
    told = ((least <= count) & (count <= len(texts) / 2)).nonzero().flatten()
    return lambda inputs: torch.stack([torch.isin(told, row) for row in inputs]).float()


@dataclass(frozen=True)
class Person:
    """A device, or a shadow of one: its train samples, as many of its classes and context that are
    nobody's, and what it is after its local steps. ``scores`` are its loss and accuracy on its
    validation samples."""

    context: str
    edge: str
    own: Seen
    others: Seen
    state: DeviceState
    scores: tuple[float, float]


@dataclass(frozen=True)
class Raw:
    """A device's or a shadow's samples before anything is trained."""

    context: str
    edge: str
    train: Seen
    val: Seen
    others: Seen


def devices(
    world: World, view: View, edges: Mapping[str, str], nobodys: Mapping[str, Seen]
) -> list[Raw]:
    """Devices of a partition: their ``edges`` by their names, ``nobodys`` samples by context."""
    found = []
    for name, edge in edges.items():
        ref, context = world.devices[name], world.contexts[name]
        train, val = (view.of(read_split(ref, s, world.info)) for s in ("train", "val"))
        others = nobodys[context].of_classes(train.data.labels.unique())
        found.append(Raw(context, edge, train, val, others))
    return found


def unused(world: World, names: Iterable[str]) -> dict[str, tuple[Tensor, Tensor]]:
    """What nobody was given, by context of some devices."""
    of = {world.contexts[name]: world.unused[name] for name in names}
    return {context: unused_split(ref, world.info) for context, ref in of.items()}


def fewer(raws: Sequence[Raw], count: int) -> list[Raw]:
    """The same with the first ``count`` train samples of each class."""
    return [replace(raw, train=raw.train.first(count)) for raw in raws]


def views(world: World, view: View, contexts: Iterable[str]) -> dict[str, Seen]:
    """The cloud's train samples as each of the devices' contexts sees them."""
    tensors, _ = read_tensors(world.cloud)
    images, labels = tensors["train_images"].numpy(), tensors["train_labels"].long()
    hashes, info = content_hashes(images), world.info
    return {c: view.of((_inputs(info, seen(images, hashes, c)), labels)) for c in contexts}


def _inputs(info: DataInfo, images: np.ndarray) -> Tensor:
    return info.inputs(torch.from_numpy(np.ascontiguousarray(images)))


def shadows(public: dict[str, Seen], count: int, like: Sequence[Raw], seed: int) -> list[Raw]:
    """Devices of public samples, in each context in turn: each has as many train and validation
    samples, and as many classes, as one of the real ones, others drawn at random."""
    stream, found = torch.Generator().manual_seed(seed), []
    for number in range(count):
        model = like[int(torch.randint(len(like), (1,), generator=stream))]
        context = list(public)[number % len(public)]
        view = public[context]
        many = len(model.train.data.labels.unique())
        classes = torch.randperm(int(view.data.labels.max()) + 1, generator=stream)[:many]
        mine = torch.isin(view.data.labels, classes).nonzero().flatten()
        mine = mine[torch.randperm(len(mine), generator=stream)]
        train, val = len(model.train.data.labels), len(model.val.data.labels)
        train = min(train, len(mine) // 2)
        ends = (train, train + min(val, len(mine) // 4))
        parts = (mine[: ends[0]], mine[ends[0] : ends[1]], mine[ends[1] :])
        found.append(Raw(context, "", *(view.at(part) for part in parts)))
    return found


def settled(
    raws: Sequence[Raw], header: nn.Module, received: Received, steps: LocalSteps, seed: int
) -> list[Person]:
    """After the local steps of a first round."""
    headers = [copy.deepcopy(header) for _ in raws]
    data = [raw.train.data for raw in raws]
    sets = fit_devices(headers, data, steps, [seed + i for i in range(len(raws))])
    return [
        Person(
            raw.context,
            raw.edge,
            raw.train,
            raw.others,
            DeviceState(own.eval(), importance, received, raw.train.data),
            evaluate(own, raw.val.data),
        )
        for raw, own, importance in zip(raws, headers, sets, strict=True)
    ]
