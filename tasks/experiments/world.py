"""The data that an experiment runs on: partitions beside the pipeline's own, kept by content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from prefect import task
from prefect.cache_policies import INPUTS, TASK_SOURCE

from models.backbone.features import extract
from models.backbone.slicing import slice_variant
from tasks.cloud import load_backbone
from tasks.compute import Machine
from tasks.data import pin, sources
from tasks.options import CACHED
from tasks.partitioning import PIN, divide
from tasks.samples import SPLITS, DataInfo, read_info, read_split, samples_ref
from tasks.settings import Data, Settings
from tasks.store import WORK, Ref, put_tensors

FOLDER = WORK / "experiments"


@dataclass(frozen=True)
class World:
    """One partition: its public facts, and every owner's samples."""

    info: DataInfo
    samples: dict[str, Ref]

    @property
    def cloud(self) -> Ref:
        return self.samples["cloud"]

    @property
    def devices(self) -> dict[str, Ref]:
        """By name, in the order of their ids."""
        return {k: v for k, v in self.samples.items() if k != "cloud"}


def content_of(data: Data) -> str:
    """What identifies the raw data, fetched where they are missing: the pin of the pinned folder,
    the own hash of any other.

    Raises:
        DataError: they cannot be fetched, or are not what is pinned.
    """
    sources.fetch(data.source, data.folder, origin=data.origin)
    if pin.pins(data.folder, PIN):
        return pin.verify(data.folder, PIN)
    return pin.folder_id(data.folder)


def identity(settings: Settings, content: str) -> str:
    """Of a partition: all that decides it."""
    parts = [settings.model_dump_json(include={"seed", "data", "partition", "fleet"}), content]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@task(
    task_run_name="partition {key}",
    **{**CACHED, "cache_policy": INPUTS - "settings" + TASK_SOURCE},  # `key` stands for them
)
def make_world(settings: Settings, content: str, key: str, code: str) -> World:
    """Divide the raw data as the pipeline's first stage does, validated the same way."""
    out = FOLDER / f"worlds/{key}"
    divide(settings, content, out, out / "validation")
    names = [device.name for cluster in settings.fleet for device in cluster.devices]
    owners = {name: samples_ref(name, out) for name in ("cloud", *sorted(names))}
    return World(read_info(out), owners)


@task(task_run_name="cut width {width}, depth {depth}", **CACHED)
def cut(elastic: Ref, width: float, depth: int, strategy: str, code: str) -> Ref:
    """One variant as a real smaller module."""
    from models.backbone.config import config_of

    vit = slice_variant(load_backbone(elastic), width, depth, strategy)
    return put_tensors(FOLDER, "variant", vit.state_dict(), config_of(vit).to_dict())


@task(task_run_name="features of {name}", **CACHED)
def embed(
    name: str, backbone: Ref, samples: Ref, info: DataInfo, machine: Machine, code: str
) -> Ref:
    """Features and labels of all splits of one owner, in half precision."""
    vit = load_backbone(backbone).to(machine.prepare())
    tensors = {}
    for split in SPLITS:
        images, labels = read_split(samples, split, info)
        tensors[f"{split}_features"] = extract(vit, images).half()
        tensors[f"{split}_labels"] = labels.to(torch.int16)
    return put_tensors(FOLDER, "features", tensors)
