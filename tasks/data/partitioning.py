"""The partition stage's task: raw data in, one file of samples an owner and a manifest out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from tasks.data import own, pin, sources, validation
from tasks.data.dataset import Dataset, Wanted, content_hashes, first_occurrences
from tasks.data.modality import VERSION, ImageInfo, to_json
from tasks.data.partition import DevicePlan, Plan, Source, class_shares, partition
from tasks.data.samples import CLOUD, SPLITS, as_tensors, samples_name
from tasks.run.cached import retried
from tasks.run.files import atomic_write, write_json
from tasks.run.store import encode
from tasks.run.written import rewriting, write_sums
from tasks.settings.case import Case
from tasks.settings.params import Settings

Arrays = dict[str, np.ndarray]


@retried("partition and validate")
def partition_data(case: Case, settings: Settings) -> dict[str, int]:
    """Check the pin, divide the samples, validate the manifest, write each owner's file.

    Returns:
        The number of rows a tier.

    Raises:
        DataError: the data are not what is pinned, or too few.
        ValidationError: the manifest breaks an expectation; nothing is written but its report.
    """
    content = pin.verify(settings.data.folder, case.pin)
    return divide(settings, content, case.partition, case.validation)


def divide(settings: Settings, content: str, out: Path, report: Path) -> dict[str, int]:
    """Divide, validate and write; ``content`` identifies the raw data. See partition_data."""
    spec = settings.data
    wanted = Wanted(spec.image_size, spec.channels, settings.seed, spec.test_fraction)
    data = sources.load(spec.source, spec.folder, wanted)
    ids = {d.name: d.id for d in _devices(settings)}
    brought = own.load(spec.folder, ids, data.classes, spec.image_size, spec.channels)
    manifest = _manifest(settings, data, brought)
    images, labels = _arrays(data, brought)
    rules = validation.Rules(
        min_per_class=_least_per_class(settings, len(data.classes)),
        seed=settings.seed,
        classes=_classes(settings, len(data.classes)),
    )
    validation.validate(manifest, lambda ids: _hashes(images, ids), report, rules)
    with rewriting(out) as new:
        _write_samples(images, labels, manifest, new)
        _write_manifest(manifest, new / "manifest.parquet")
        write_json(new / "data.json", to_json(_info(settings, data, manifest)))
        write_json(new / "pin.json", {"content_id": content})
        write_sums(new, ["data.json", samples_name(CLOUD)], part="cloud")  # all that it reads
    return {str(tier): int(n) for tier, n in manifest.groupby("tier").size().items()}


def position(sample_id: str) -> tuple[str, int]:
    """The source's split and the position in it that a sample id names."""
    split, _, index = sample_id.partition("-")
    return split, int(index)


def _manifest(settings: Settings, data: Dataset, brought: own.Brought) -> pd.DataFrame:
    train, test = _sources(data)
    known = {*train.sha256, *test.sha256}
    devices = _devices(settings)
    own_sources = {
        d.name: own.as_source(name, *brought[name], known)
        for d, name in ((d, own.source_name(d.id)) for d in devices)
        if name in brought
    }
    return partition(train, test, devices, _plan(settings), settings.seed, own_sources)


def _arrays(data: Dataset, brought: own.Brought) -> tuple[Arrays, Arrays]:
    """Images and labels by what sample ids begin with."""
    images = {"train": data.train_images, "test": data.test_images}
    labels = {"train": data.train_labels, "test": data.test_labels}
    images |= {name: pixels for name, (pixels, _) in brought.items()}
    labels |= {name: of for name, (_, of) in brought.items()}
    return images, labels


def _sources(data: Dataset) -> tuple[Source, Source]:
    """Both splits; a content that appears again is given out once, the test split's first."""
    hashes = {"test": content_hashes(data.test_images)}
    hashes["train"] = content_hashes(data.train_images)
    test, train = first_occurrences(hashes["test"], hashes["train"])
    return (
        Source("train", data.train_labels, hashes["train"], train),
        Source("test", data.test_labels, hashes["test"], test),
    )


def _devices(settings: Settings) -> list[DevicePlan]:
    return [
        DevicePlan(d.id, d.name, cluster.edge, d.group)
        for cluster in settings.fleet
        for d in cluster.devices
    ]


def _classes(settings: Settings, count: int) -> dict[str, list[int]]:
    """The classes that each device must have: those of which it should get a train sample."""
    plan, total = _plan(settings), settings.partition.samples_per_device
    least = 1 / (total * plan.train_fraction)
    return {
        device.name: np.flatnonzero(
            class_shares(device, plan, count, settings.seed) >= least
        ).tolist()
        for device in _devices(settings)
    }


def _least_per_class(settings: Settings, classes: int) -> int:
    """Train samples that a device must have of each of its classes: 5 where its share of the data
    has as many; a Dirichlet draw may leave 1."""
    plan = _plan(settings)
    if plan.heterogeneity == "dirichlet":
        return 1
    total = plan.samples_per_device * plan.train_fraction
    shares = [class_shares(device, plan, classes, settings.seed) for device in _devices(settings)]
    return max(1, min(5, *(int(total * s.max()) for s in shares)))


def _plan(settings: Settings) -> Plan:
    return Plan(**settings.partition.model_dump())


def _hashes(images: Arrays, ids: list[str]) -> list[str]:
    chosen = [images[split][index] for split, index in map(position, ids)]
    return content_hashes(np.stack(chosen)).tolist()


def _write_samples(images: Arrays, labels: Arrays, manifest: pd.DataFrame, out: Path) -> None:
    owned = manifest[manifest["tier"] != "edge"]
    for owner, rows in owned.groupby("owner", sort=True):
        by_split = {s: rows.loc[rows["split"] == s, "sample_id"].tolist() for s in SPLITS}
        tensors = as_tensors(
            ImageInfo.raw,
            {s: torch.from_numpy(_take(images, ids)) for s, ids in by_split.items()},
            {s: torch.from_numpy(_take(labels, ids)) for s, ids in by_split.items()},
        )
        shared = manifest[manifest["shared_by"] == owner]
        if len(shared):
            where = {sample: i for i, sample in enumerate(by_split["train"])}
            for split in ("train", "val"):
                ids = shared.loc[shared["split"] == split, "sample_id"]
                tensors[f"shared_{split}"] = torch.tensor([where[i] for i in ids])
        atomic_write(out / samples_name(str(owner)), encode(tensors))


def _take(arrays: Arrays, ids: list[str]) -> np.ndarray:
    return np.stack([arrays[split][index] for split, index in map(position, ids)])


def _write_manifest(manifest: pd.DataFrame, path: Path) -> None:
    manifest.attrs["version"] = VERSION  # which parquet keeps
    atomic_write(path, manifest.to_parquet(index=False))


def _info(settings: Settings, data: Dataset, manifest: pd.DataFrame) -> ImageInfo:
    public = manifest[(manifest["tier"] == "cloud") & (manifest["split"] == "train")]
    images = _take({"train": data.train_images}, public["sample_id"].tolist()) / 255.0
    return ImageInfo(
        source=settings.data.source,
        classes=data.classes,
        image_size=settings.data.image_size,
        channels=settings.data.channels,
        mean=tuple(float(x) for x in images.mean((0, 2, 3))),
        std=tuple(float(x) for x in images.std((0, 2, 3))),
    )
