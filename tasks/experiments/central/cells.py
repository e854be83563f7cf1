"""Table I: a centralised system that gets every device's raw data, and what ACME is scored by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.answers import answered
from models.backbone.family import Backbone
from models.backbone.features import extract
from models.backbone.size import backbone_parameters
from models.backbone.slicing import slice_variant
from models.baselines.central import JointSearch, Part
from models.header.config import HeaderConfig
from models.header.space import Space
from models.header.split import Split
from models.ranges import Answerable
from models.refinement.rounds import shipped
from models.refinement.training import DeviceData, evaluate_devices
from tasks.data.modality import DataInfo
from tasks.data.samples import as_tensors, classes_of, read_split
from tasks.experiments.central.kinds import KINDS, UPLOAD
from tasks.experiments.tuning import mean_accuracy, tuned_alone
from tasks.links.ends import CLOUD
from tasks.links.link import Message, Route, receive, send
from tasks.links.records import Coarse, State
from tasks.report.heldout import test_split
from tasks.run.cached import cached
from tasks.run.compute import Machine
from tasks.run.modules import load_backbone, load_header
from tasks.run.progress import progress
from tasks.run.store import Ref, put_tensors, read_tensors
from tasks.settings import params as settings

Row = dict[str, Any]
TRAINED_ON = ("train", "val")  # of a device; its test split is touched once, at the end


@dataclass(frozen=True)
class Pooled:
    """All samples in one place; the first ``public`` of the train split are the public ones."""

    samples: Ref
    public: int
    info: DataInfo


@dataclass(frozen=True)
class Joint:
    """What one search runs over, backbones and headers, on as many public samples as an edge gets
    beside all uploaded ones."""

    grid: settings.Grid
    header: settings.HeaderSearch
    public_samples: int

    def size(self) -> int:
        """How many pairs of a variant and a header there are (Eq. 14 times the grid)."""
        variants = len(self.grid.widths) * len(self.grid.depths)
        return variants * Space(self.header.blocks, self.header.operations).size()


@cached("{device}: upload all raw data")
def upload(device: str, samples: Ref, info: DataInfo) -> Message:
    """Train before validation samples, as a centralised system needs them."""
    tensors, _ = read_tensors(samples)
    return send(
        UPLOAD,
        Route(device, CLOUD),
        tensors={
            info.raw: torch.cat([tensors[f"{s}_{info.raw}"] for s in TRAINED_ON]),
            "labels": torch.cat([tensors[f"{s}_labels"] for s in TRAINED_ON]).to(torch.int16),
        },
        values={"train_count": len(tensors["train_labels"])},
        kinds=KINDS,
    )


@cached("pool the uploads")
def pool(public: Ref, uploads: list[Message], info: DataInfo) -> Pooled:
    """The public data and all uploads, their train and validation parts apart."""
    mine, _ = read_tensors(public)
    raw: dict[str, list[Tensor]] = {s: [mine[f"{s}_{info.raw}"]] for s in TRAINED_ON}
    labels: dict[str, list[Tensor]] = {s: [mine[f"{s}_labels"]] for s in TRAINED_ON}
    for message in uploads:
        tensors, values = receive(message, UPLOAD, kinds=KINDS)
        cut = values["train_count"]
        for split, part in (("train", slice(None, cut)), ("val", slice(cut, None))):
            raw[split].append(tensors[info.raw][part])
            labels[split].append(tensors["labels"][part].to(mine[f"{split}_labels"].dtype))
    joined = as_tensors(
        info.raw,
        {s: torch.cat(x) for s, x in raw.items()},
        {s: torch.cat(y) for s, y in labels.items()},
    )
    count = len(mine["train_labels"])
    return Pooled(put_tensors("samples", joined), count, info)


@cached("search backbone and header together, {limit} parameters")
def search_jointly(
    elastic: Ref, pooled: Pooled, recipe: Joint, limit: int, seed: int, machine: Machine
) -> Coarse:
    """The best backbone and header of at most ``limit`` parameters in one search. Named by its
    width and depth."""
    vit, place, grid = load_backbone(elastic), machine.prepare(), recipe.grid
    points = [(w, d) for w in grid.widths for d in grid.depths]
    skipped = max(0, pooled.public - recipe.public_samples)
    images, labels = read_split(pooled.samples, "train", pooled.info)
    data = (images[skipped:], labels[skipped:]), read_split(pooled.samples, "val", pooled.info)
    parts = []
    for width, depth in points:
        small = slice_variant(vit, width, depth, grid.depth_strategy).to(place)
        train, val = (Split.of(extract(small, x), y) for x, y in data)
        parts.append(Part(train, val, limit - backbone_parameters(small.config)))
    search = JointSearch(
        HeaderConfig.linear(vit.config, recipe.header),
        recipe.header,
        (vit.head.weight.detach(), vit.head.bias.detach()),
        seed,
    )
    with progress("centralised: one search for backbone and header") as on_step:
        found = search.run(parts, on_step)
    chosen = slice_variant(vit, *points[found.part], grid.depth_strategy)
    return Coarse(
        "{:g}x{}".format(*points[found.part]),
        put_tensors("backbone", chosen.state_dict(), chosen.config.to_dict()),
        put_tensors("header", found.header.state, found.header.config.to_dict()),
    )


@cached("centralised: tune for {coarse.edge}")
def tune_centrally(
    coarse: Coarse,
    devices: Mapping[str, Ref],
    info: DataInfo,
    recipe: settings.Refinement,
    seed: int,
    machine: Machine,
) -> dict[str, Ref]:
    """A header a device, tuned on the device's uploaded data for as many steps as ACME's loop;
    kept where it is not worse on the device's validation samples."""
    vit = load_backbone(coarse.backbone).to(machine.prepare())
    data = {
        split: [_features(vit, ref, split, info) for ref in devices.values()]
        for split in TRAINED_ON
    }
    received = [load_header(coarse.header)[0].eval() for _ in devices]
    tuned = tuned_alone(received, data["train"], recipe, seed)
    told = [answered(recipe.answers, own.labels, own.wanted) for own in data["train"]]
    before, after = (evaluate_devices(h, data["val"], told) for h in (received, tuned))
    kept = [
        t if b[1] <= a[1] else r for r, t, b, a in zip(received, tuned, before, after, strict=True)
    ]
    config = read_tensors(coarse.header)[1]
    return {
        name: put_tensors("header", header.state_dict(), config)
        for name, header in zip(devices, kept, strict=True)
    }


@cached("score {coarse.edge}'s devices")
def score_devices(
    coarse: Coarse,
    headers: dict[str, Ref],
    devices: Mapping[str, Ref],
    info: DataInfo,
    machine: Machine,
    answers: Answerable = "all",
) -> list[Row]:
    """Test accuracy of every device's header, which ``answers`` what it is to, and what it received
    restricted to its classes."""
    vit = load_backbone(coarse.backbone).to(machine.prepare())
    received, rows = load_header(coarse.header)[0].eval(), []
    for name, ref in devices.items():
        own, test = _features(vit, ref, "train", info), _tested(vit, ref, info)
        header = load_header(headers[name])[0].eval()
        rows.append(
            {
                "device": name,
                "received": mean_accuracy([received], [test]),
                "received_own_classes": mean_accuracy([received], [test], [own]),
                "accuracy": mean_accuracy([header], [test], [own], answers),
                "accuracy_own_classes": mean_accuracy([header], [test], [own]),
            }
        )
    return rows


def kept_headers(rounds: Sequence[Sequence[State]]) -> dict[str, Ref]:
    """Every device's header of the one of its rounds that its validation split prefers."""
    return {states[0].device: states[shipped(states)].header for states in rounds}


def _features(vit: Backbone, samples: Ref, split: str, info: DataInfo) -> DeviceData:
    images, labels = read_split(samples, split, info)
    return DeviceData.of(extract(vit, images), labels, classes_of(samples).wanted)


def _tested(vit: Backbone, samples: Ref, info: DataInfo) -> DeviceData:
    images, labels = test_split(samples, info)
    return DeviceData.of(extract(vit, images), labels)
