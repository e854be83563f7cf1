"""The data that an experiment runs on: partitions beside the pipeline's own, kept by content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from models.backbone.features import extract
from models.backbone.slicing import slice_variant
from tasks.data import pin, sources
from tasks.data.partitioning import PIN, divide
from tasks.data.samples import DataInfo, read_info, read_split, samples_ref
from tasks.report.heldout import test_split
from tasks.run.cached import KEY, cached
from tasks.run.compute import Machine
from tasks.run.files import WORK, Ref
from tasks.run.modules import load_backbone, put_backbone
from tasks.run.store import put_tensors
from tasks.settings.params import Data, Settings

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


@cached("partition {key}", cache_policy=KEY - "settings")  # `key` stands for them
def make_world(settings: Settings, content: str, key: str) -> World:
    """Divide the raw data as the pipeline's first stage does, validated the same way."""
    out = FOLDER / f"worlds/{key}"
    divide(settings, content, out, out / "validation")
    names = [device.name for cluster in settings.fleet for device in cluster.devices]
    owners = {name: _kept(samples_ref(name, out)) for name in ("cloud", *sorted(names))}
    return World(read_info(out), owners)


def _kept(samples: Ref) -> Ref:
    """A file of samples under a name that holds its hash: another way to divide the same data
    writes beside it, not over what earlier results refer to."""
    path = Path(samples.path)
    kept = path.with_name(f"{path.stem}-{samples.sha256[:12]}{path.suffix}")
    path.replace(kept)
    return Ref(str(kept), samples.sha256)


@cached("cut width {width}, depth {depth}")
def cut(elastic: Ref, width: float, depth: int, strategy: str) -> Ref:
    """One variant as a real smaller module."""
    vit = slice_variant(load_backbone(elastic), width, depth, strategy)
    return put_backbone(FOLDER, "variant", vit)


@cached("features of {name}")
def embed(name: str, backbone: Ref, samples: Ref, info: DataInfo, machine: Machine) -> Ref:
    """Features and labels of all splits of one owner, in half precision."""
    vit = load_backbone(backbone).to(machine.prepare())
    tensors = {}
    splits = {split: read_split(samples, split, info) for split in ("train", "val")}
    splits["test"] = test_split(samples, info)
    for split, (images, labels) in splits.items():
        tensors[f"{split}_features"] = extract(vit, images).half()
        tensors[f"{split}_labels"] = labels.to(torch.int16)
    return put_tensors(FOLDER, "features", tensors)
