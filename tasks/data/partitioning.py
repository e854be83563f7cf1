"""The partition stage's task: raw data in, one file of samples an owner and a manifest out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from tasks.data import own, pin, sources, validation
from tasks.data.dataset import Dataset, Wanted, content_hashes, first_occurrences
from tasks.data.modality import VERSION, ImageInfo, to_json
from tasks.data.partition import Source, of_part, partition
from tasks.data.plan import DevicePlan, Index, Needs, Plan, needs, part_sizes
from tasks.data.samples import CLOUD, SPLITS, as_tensors, samples_name
from tasks.run.cached import retried
from tasks.run.errors import DataError
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
    source = _sources(data)
    counts = [np.bincount(s.labels[s.usable], minlength=len(data.classes)) for s in source]
    require_enough(settings, data.classes, counts[0].tolist(), counts[1].tolist())
    manifest = _manifest(settings, source, brought)
    images, labels = _arrays(data, brought)
    rules = validation.Rules(
        min_per_class=_least_per_class(settings, source, manifest, len(data.classes)),
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


def _manifest(
    settings: Settings, source: tuple[Source, Source], brought: own.Brought
) -> pd.DataFrame:
    train, test = source
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


def require_enough(
    settings: Settings, names: Sequence[str], train: Sequence[int], test: Sequence[int]
) -> None:
    """Raises DataError if the data are too few for the public sets and the fleet, with how many
    would do.

    Args:
        names: of the classes.
        train, test: samples of each class in the source's two splits.
    """
    fleet = sorted(_devices(settings), key=lambda d: d.id)
    short = shortage(fleet, _plan(settings), settings.seed, names, (train, test))
    if short:
        raise DataError(short)


def shortage(
    fleet: Sequence[DevicePlan],
    plan: Plan,
    seed: int,
    names: Sequence[str],
    counts: tuple[Sequence[int], Sequence[int]],
) -> str | None:
    """What the data lack for the public sets and a fleet (in the order of ids), in words, with how
    many would do; None where they suffice. ``counts`` are the samples of each class in the source's
    train and test split."""
    train, test = np.asarray(counts[0]), np.asarray(counts[1])
    need = needs(fleet, plan, len(names), seed)
    remedy = (
        "Or: " + ("fewer devices" if plan.slots is None else "partition.slots: null, fewer devices")
    ) + ", or devices that live on their own images (partition.samples_per_device: 0)"
    few = np.flatnonzero(need.wanted.any((0, 1)) & (train <= need.train))
    if len(few):
        worst = int(max(few, key=lambda label: need.train[label] - train[label]))
        more = f", and {len(few) - 1} classes more have too few" if len(few) > 1 else ""
        return (
            f"class {names[worst]} has {train[worst]} distinct images to learn from{more}. "
            f"{need.train[worst] + 1} would do: two for each of {need.parts[worst]} devices, and "
            f"one that is public. {remedy}"
        )
    sizes = (plan.public_train + plan.public_val, plan.public_test)
    for split, count, has, needed in zip(
        ("train", "test"), sizes, (train, test), (need.train, need.test), strict=True
    ):
        free = int(np.clip(has - needed, 0, None).sum())
        if count > free:
            return (
                f"the public sets take {count:,} of {has.sum():,} images of the {split} split, and "
                f"the devices need {has.sum() - free:,}: lower partition.public_* to {free:,}, or "
                f"{has.sum() + count - free:,} images would do. {remedy}"
            )
    untested = _untested(fleet, plan, need, np.minimum(test, need.test))
    if untested is None:
        return None
    return (
        f"{untested} would get no image of the test split, of which its classes have at most "
        f"{test.max()}: {need.parts.max()} of each class would do. {remedy}"
    )


def _untested(fleet: Sequence[DevicePlan], plan: Plan, need: Needs, left: Index) -> str | None:
    """The device, if there is one, that might get nothing of what is ``left`` to test on."""
    for at, device in enumerate(fleet):
        before = need.wanted[:at].any(1).sum(0)  # of each class, the parts of earlier devices
        parts = [
            part_sizes(int(left[label]), int(need.parts[label]), int(label), plan)
            for label in np.flatnonzero(need.wanted[at, 2])
        ]
        mine = [before[label] for label in np.flatnonzero(need.wanted[at, 2])]
        mine = mine if plan.slots is None else [device.id] * len(mine)
        if mine and not sum(part[i] for part, i in zip(parts, mine, strict=True)):
            return device.name
    return None


def _classes(settings: Settings, count: int) -> dict[str, list[int]]:
    """The classes that each device must have: those of which it should get a train sample."""
    devices = _devices(settings)
    wanted = needs(devices, _plan(settings), count, settings.seed).wanted
    return {
        device.name: np.flatnonzero(of_device[0]).tolist()
        for device, of_device in zip(devices, wanted, strict=True)
    }


def _least_per_class(
    settings: Settings, sources: tuple[Source, Source], manifest: pd.DataFrame, classes: int
) -> int:
    """Train samples that a device must have of each of its classes: 5 where it wants as many and
    its part of what the public sets left holds them; a Dirichlet draw may leave 1."""
    plan = _plan(settings)
    if plan.heterogeneity == "dirichlet":
        return 1
    need, public = (
        needs(_devices(settings), plan, classes, settings.seed),
        manifest["tier"] == CLOUD,
    )
    stocks = []
    for source in sources:
        of_source = (manifest["split"] == "test") == (source.split == "test")
        taken = np.bincount(manifest.loc[public & of_source, "label"], minlength=classes)
        left = np.bincount(source.labels[source.usable], minlength=classes) - taken
        stocks.append(left // np.maximum(need.parts, 1))
    trained = [
        of_part(int(stocks[0][label]), int(stocks[1][label]), wanted[:, label])[0]
        for wanted in need.wanted
        for label in np.flatnonzero(wanted[0])
    ]
    return max(1, min([5, *trained]))


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
        if owner != CLOUD:  # one that shares nothing says so
            where = {sample: i for i, sample in enumerate(by_split["train"])}
            for split in ("train", "val"):
                ids = shared.loc[shared["split"] == split, "sample_id"]
                places = [where[i] for i in ids]
                tensors[f"shared_{split}"] = torch.tensor(places, dtype=torch.int64)
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
