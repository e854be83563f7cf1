"""Table I: a centralised system that gets every device's raw data, and what ACME is scored by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from prefect import task
from torch import Tensor

from models.backbone.config import config_of
from models.backbone.features import extract
from models.backbone.size import backbone_parameters
from models.backbone.slicing import slice_variant
from models.baselines.central import JointSearch, Part
from models.header.search import Split
from models.refinement.rounds import best_round
from models.refinement.training import DeviceData, evaluate_devices
from tasks import settings
from tasks.cloud import load_backbone
from tasks.compute import Machine
from tasks.evaluation import load_header
from tasks.experiments.refining import mean_accuracy, tuned_alone
from tasks.links import Message, receive, send
from tasks.options import CACHED
from tasks.progress import progress
from tasks.records import Coarse, State
from tasks.samples import DataInfo, as_tensors, read_split
from tasks.searching import header_config, search_recipe, space_of
from tasks.store import WORK, Ref, put_tensors, read_tensors

Row = dict[str, Any]
FOLDER = WORK / "experiments"
TRAINED_ON = ("train", "val")  # of a device; its test split is touched once, at the end


@task(task_run_name="{device}: upload all raw data", **CACHED)
def upload(device: str, samples: Ref, code: str) -> Message:
    """Train before validation samples, as a centralised system needs them."""
    tensors, _ = read_tensors(samples)
    return send(
        "central_upload",
        sender=device,
        receiver="cloud",
        tensors={
            "images": torch.cat([tensors[f"{s}_images"] for s in TRAINED_ON]),
            "labels": torch.cat([tensors[f"{s}_labels"] for s in TRAINED_ON]).to(torch.int16),
        },
        values={"train_count": len(tensors["train_labels"])},
        flow="centralised",
    )


@task(task_run_name="pool the uploads", **CACHED)
def pool(public: Ref, uploads: list[Message], code: str) -> Ref:
    """One data set: the public one and all uploads, their train and validation parts apart."""
    mine, _ = read_tensors(public)
    images: dict[str, list[Tensor]] = {s: [mine[f"{s}_images"]] for s in TRAINED_ON}
    labels: dict[str, list[Tensor]] = {s: [mine[f"{s}_labels"]] for s in TRAINED_ON}
    for message in uploads:
        tensors, values = receive(message)
        cut = values["train_count"]
        for split, part in (("train", slice(None, cut)), ("val", slice(cut, None))):
            images[split].append(tensors["images"][part])
            labels[split].append(tensors["labels"][part].to(mine[f"{split}_labels"].dtype))
    joined = as_tensors(
        {s: torch.cat(x) for s, x in images.items()}, {s: torch.cat(y) for s, y in labels.items()}
    )
    return put_tensors(FOLDER, "pooled", joined)


@task(task_run_name="search backbone and header together, {limit} parameters", **CACHED)
def search_jointly(
    elastic: Ref,
    pooled: Ref,
    public: Ref,
    info: DataInfo,
    backbone: settings.Backbone,
    recipe: settings.Edge,
    limit: int,
    seed: int,
    machine: Machine,
    code: str,
) -> Coarse:
    """The best backbone and header of at most ``limit`` parameters in one search, on as many
    public samples as an edge gets and all uploaded ones. Named by its width and depth."""
    vit, place = load_backbone(elastic), machine.prepare()
    points = [(w, d) for w in backbone.widths for d in backbone.depths]
    skipped = len(read_tensors(public)[0]["train_labels"]) - recipe.public_features
    data = {
        "train": tuple(x[max(0, skipped) :] for x in read_split(pooled, "train", info)),
        "val": read_split(pooled, "val", info),
    }
    parts = []
    for width, depth in points:
        small = slice_variant(vit, width, depth, backbone.depth_strategy).to(place)
        train, val = (Split(extract(small, x), y) for x, y in data.values())
        parts.append(Part(train, val, limit - backbone_parameters(config_of(small))))
    search = JointSearch(
        header_config(config_of(vit), recipe),
        space_of(recipe),
        search_recipe(recipe),
        (vit.head.weight.detach(), vit.head.bias.detach()),
        seed,
    )
    with progress("centralised: one search for backbone and header") as on_step:
        found = search.run(parts, on_step)
    chosen = slice_variant(vit, *points[found.part], backbone.depth_strategy)
    return Coarse(
        "{:g}x{}".format(*points[found.part]),
        put_tensors(FOLDER, "central", chosen.state_dict(), config_of(chosen).to_dict()),
        put_tensors(FOLDER, "header", found.header.state, found.header.config.to_dict()),
    )


@task(task_run_name="centralised: tune for {coarse.edge}", **CACHED)
def tune_centrally(
    coarse: Coarse,
    devices: Mapping[str, Ref],
    info: DataInfo,
    recipe: settings.Refinement,
    seed: int,
    machine: Machine,
    code: str,
) -> dict[str, Ref]:
    """A header a device, tuned on the device's uploaded data for as many steps as ACME's loop;
    kept where it is not worse on the device's validation samples."""
    vit = load_backbone(coarse.backbone).to(machine.prepare())
    data = {
        split: [_features(vit, ref, split, info) for ref in devices.values()]
        for split in TRAINED_ON
    }
    received = [load_header(coarse.header) for _ in devices]
    tuned = tuned_alone(received, data["train"], recipe, seed)
    before, after = (evaluate_devices(h, data["val"]) for h in (received, tuned))
    kept = [
        t if b[1] <= a[1] else r for r, t, b, a in zip(received, tuned, before, after, strict=True)
    ]
    config = read_tensors(coarse.header)[1]
    return {
        name: put_tensors(FOLDER, "tuned", header.state_dict(), config)
        for name, header in zip(devices, kept, strict=True)
    }


@task(task_run_name="score {coarse.edge}'s devices", **CACHED)
def score_devices(
    coarse: Coarse,
    headers: dict[str, Ref],
    devices: Mapping[str, Ref],
    info: DataInfo,
    machine: Machine,
    code: str,
) -> list[Row]:
    """Test accuracy of every device's header, and what it received restricted to its classes."""
    vit = load_backbone(coarse.backbone).to(machine.prepare())
    received, rows = load_header(coarse.header), []
    for name, ref in devices.items():
        own, test = (_features(vit, ref, split, info) for split in ("train", "test"))
        header = load_header(headers[name])
        rows.append(
            {
                "device": name,
                "received": mean_accuracy([received], [test]),
                "received_own_classes": mean_accuracy([received], [test], [own]),
                "accuracy": mean_accuracy([header], [test]),
                "accuracy_own_classes": mean_accuracy([header], [test], [own]),
            }
        )
    return rows


def joint_space(backbone: settings.Backbone, recipe: settings.Edge) -> int:
    """How many pairs of a variant and a header there are (Eq. 14 times the grid)."""
    variants = len(backbone.widths) * len(backbone.depths)
    return variants * space_of(recipe).size()


def kept_headers(rounds: Sequence[Sequence[State]]) -> dict[str, Ref]:
    """Every device's header of the round that its validation split prefers."""
    by_device = zip(*rounds, strict=True)
    return {states[0].device: states[best_round(states)].header for states in by_device}


@torch.no_grad()
def _features(vit: Any, ref: Ref, split: str, info: DataInfo) -> DeviceData:
    images, labels = read_split(ref, split, info)
    return DeviceData(extract(vit, images), labels)
