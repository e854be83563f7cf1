"""The data that an experiment runs on: partitions beside the pipeline's own, kept by content."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from torch import Tensor

from models.backbone.features import extract
from models.backbone.slicing import slice_variant
from models.header.kinds import seen_by
from models.header.split import Split
from tasks.data import pin, sources
from tasks.data.modality import DataInfo
from tasks.data.partitioning import divide
from tasks.data.samples import World, classes_of, read_split, read_world, with_spare
from tasks.report.heldout import test_split
from tasks.run.cached import KEY, cached
from tasks.run.compute import Machine
from tasks.run.modules import load_backbone, load_header, put_backbone
from tasks.run.store import Ref, Store, put_tensors
from tasks.settings.case import Case
from tasks.settings.params import Data, Settings


def content_of(data: Data) -> str:
    """What identifies the raw data, fetched where they are missing: the pin of the pinned folder,
    the own hash of any other.

    Raises:
        DataError: they cannot be fetched, or are not what is pinned.
    """
    sources.fetch(data.source, data.folder, origin=data.origin)
    pinned = Case.here().pin
    if pin.pins(data.folder, pinned):
        return pin.verify(data.folder, pinned)
    return pin.folder_id(data.folder)


def identity(settings: Settings, content: str) -> str:
    """Of a partition: all that decides it."""
    parts = [settings.model_dump_json(include={"seed", "data", "partition", "fleet"}), content]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@cached("partition {key}", cache_policy=KEY - "settings")  # `key` stands for them
def make_world(settings: Settings, content: str, key: str) -> World:
    """Divide the raw data as the pipeline's first stage does, validated the same way."""
    names = [device.name for device in settings.devices]
    report = Store.here().folder.with_name("worlds") / key
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "partition"
        divide(settings, content, out, report)
        return with_spare(read_world(out, names), out)


@cached("cut width {width}, depth {depth}")
def cut(elastic: Ref, width: float, depth: int, strategy: str) -> Ref:
    """One variant as a real smaller module."""
    vit = slice_variant(load_backbone(elastic), width, depth, strategy)
    return put_backbone(vit)


@cached("features of {name}")
def embed(
    name: str,
    backbone: Ref,
    samples: Ref,
    info: DataInfo,
    machine: Machine,
    header: Ref | None = None,
) -> Ref:
    """Features and labels of all splits of one owner, in half precision; what a ``header`` reads of
    them."""
    config = load_header(header)[1] if header else None
    vit = load_backbone(backbone).to(machine.prepare())
    tensors: dict[str, Tensor] = {}
    wanted = {"train": classes_of(samples).wanted}
    splits = {split: read_split(samples, split, info) for split in ("train", "val")}
    splits["test"] = test_split(samples, info)
    for split, (images, labels) in splits.items():
        found = Split.of(extract(vit, images), labels, wanted.get(split))
        found = seen_by(config, found) if config else found
        tensors |= found.compact.named(f"{split}_")
    return put_tensors("features", tensors)
