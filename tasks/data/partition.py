"""Who owns which sample: public, private and shared sets, by seed and in a manifest.

The source's train split gives the public train and val sets and the devices' train and val
splits; its test split gives all test splits. What the public sets leave is the private pool. It
is cut, class by class, into ``slots`` equal parts, and the device with id i draws from part i with
a random stream of its own: adding a device changes nothing for any other.

A part holds only so much of a class. Where a device should have more, it gets what there is, and
its train, val and test of that class shrink alike, so that their class shares stay the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.run.errors import DataError, SettingsError

CLASS_FRACTION = {"C1": 0.8, "C2": 0.5, "C3": 0.3}
COLUMNS = ["sample_id", "sha256", "label", "owner", "tier", "split", "shared_by"]
SHARED_RANGE = (0.1, 0.2)
PUBLIC, POOL, GROUP, DEVICE = range(4)  # names of the random streams

Index = NDArray[np.int64]


@dataclass(frozen=True)
class DevicePlan:
    """What the partition needs to know of a device."""

    id: int
    name: str
    edge: str
    group: int


@dataclass(frozen=True)
class Plan:
    """How the samples are divided.

    ``heterogeneity``: ``iid``; ``C1``, ``C2``, ``C3``: a device has 80 %, 50 %, 30 % of the classes
    (at least 2), in equal shares, and devices of a group have the same ones, on whichever edge;
    ``dirichlet``: each device draws its class shares from Dirichlet(alpha), the smaller the more
    uneven.

    ``samples_per_device`` is the most a device gets; ``train_fraction`` and ``val_fraction`` of it
    are train and val, the rest is test. ``shared_fraction`` is of the train split, and
    ``shared_val_fraction`` of what is shared.
    """

    heterogeneity: str
    dirichlet_alpha: float
    public_train: int
    public_val: int
    public_test: int
    samples_per_device: int
    train_fraction: float
    val_fraction: float
    shared_fraction: float
    shared_val_fraction: float
    slots: int


@dataclass(frozen=True)
class Source:
    """Labels and content hashes of one split of the source; ``usable`` are the positions that may
    be given out (contents that appeared before are left out)."""

    split: str
    labels: NDArray[np.int64]
    sha256: NDArray[np.str_]
    usable: Index


def partition(
    train: Source,
    test: Source,
    devices: Sequence[DevicePlan],
    plan: Plan,
    seed: int,
    own: Mapping[str, Source] | None = None,
) -> pd.DataFrame:
    """The manifest: a row a sample and owner, columns :data:`COLUMNS`, in a fixed order.

    A shared sample has two rows: its device's, and its edge's with ``shared_by`` naming the device.
    ``own`` holds, by device name, what a device brings itself and never shares.

    Raises:
        DataError: the source is too small for the public sets.
        SettingsError: a device id is negative, taken twice or beyond the slots.
    """
    _check(devices, plan.slots)
    public_train, rest_train = _public(train, plan.public_train + plan.public_val, seed)
    public_test, rest_test = _public(test, plan.public_test, seed)
    rows = [
        _rows(train, public_train[: plan.public_train], "cloud", "cloud", "train"),
        _rows(train, public_train[plan.public_train :], "cloud", "cloud", "val"),
        _rows(test, public_test, "cloud", "cloud", "test"),
    ]
    classes = int(train.labels.max()) + 1
    pools = [
        _slots(s, rest, plan.slots, seed) for s, rest in ((train, rest_train), (test, rest_test))
    ]
    for device in sorted(devices, key=lambda d: d.id):
        rows += _device_rows((train, test), pools, device, plan, classes, seed)
        rows += _own_rows(own[device.name], device, plan) if own and device.name in own else []
    return pd.concat(rows, ignore_index=True)[COLUMNS]


def summary(manifest: pd.DataFrame) -> pd.DataFrame:
    """Per owner, its tier, number of classes and samples in train, val and test; the cloud first,
    then as in the manifest."""
    counts = manifest.groupby(["owner", "split"], sort=False).size().unstack(fill_value=0)
    counts = counts.reindex(columns=["train", "val", "test"], fill_value=0)
    facts = manifest.groupby("owner", sort=False).agg(
        tier=("tier", "first"), classes=("label", "nunique")
    )
    return facts.join(counts).rename_axis(columns=None).reset_index()


def _check(devices: Sequence[DevicePlan], slots: int) -> None:
    taken = {"id": [str(d.id) for d in devices], "name": [d.name for d in devices]}
    for what, values in taken.items():
        twice = [v for v in values if values.count(v) > 1]
        if twice:
            raise SettingsError(f"fleet: device {what} {twice[0]} appears more than once")
    for device in devices:
        if device.id < 0:
            raise SettingsError(f"{device.name}: id {device.id} is negative")
        if device.id >= slots:
            raise SettingsError(
                f"{device.name}: id {device.id} needs partition.slots > {device.id} "
                f"(it is {slots}; raising it reshuffles every device's data)"
            )


def class_shares(device: DevicePlan, plan: Plan, classes: int, seed: int) -> NDArray[np.float64]:
    """What fraction of a device's samples each class gets ``(classes,)``.

    Raises:
        SettingsError: unknown heterogeneity.
    """
    if plan.heterogeneity == "iid":
        return np.full(classes, 1 / classes)
    if plan.heterogeneity == "dirichlet":
        stream = np.random.default_rng([seed, DEVICE, device.id])
        return stream.dirichlet(np.full(classes, plan.dirichlet_alpha))
    if plan.heterogeneity not in CLASS_FRACTION:
        raise SettingsError(f"partition.heterogeneity: unknown level {plan.heterogeneity!r}")
    count = max(2, round(CLASS_FRACTION[plan.heterogeneity] * classes))
    stream = np.random.default_rng([seed, GROUP, device.group])
    shares = np.zeros(classes)
    shares[stream.choice(classes, min(count, classes), replace=False)] = 1 / min(count, classes)
    return shares


def _public(source: Source, count: int, seed: int) -> tuple[Index, Index]:
    """Positions of the public set and of what it leaves."""
    stream = np.random.default_rng([seed, PUBLIC, source.split == "test"])
    order = stream.permutation(source.usable)
    if count >= len(order):
        raise DataError(
            f"the source's {source.split} split has {len(order):,} distinct images; the public set "
            f"takes {count:,} and must leave some for the devices. Lower partition.public_*."
        )
    return order[:count], order[count:]


def _slots(source: Source, rest: Index, slots: int, seed: int) -> list[dict[int, Index]]:
    """Per slot, the positions of each class: equal parts of a shuffled pool."""
    parts: list[dict[int, Index]] = [{} for _ in range(slots)]
    for label in np.unique(source.labels):
        stream = np.random.default_rng([seed, POOL, source.split == "test", int(label)])
        members = stream.permutation(np.sort(rest[source.labels[rest] == label]))
        share = len(members) // slots
        for slot in range(slots):
            parts[slot][int(label)] = members[slot * share : (slot + 1) * share]
    return parts


def _device_rows(
    sources: tuple[Source, Source],
    pools: list[list[dict[int, Index]]],
    device: DevicePlan,
    plan: Plan,
    classes: int,
    seed: int,
) -> list[pd.DataFrame]:
    train, test = sources
    shares = class_shares(device, plan, classes, seed)
    wanted = _split_counts(shares, plan)
    picked: dict[str, list[Index]] = {"train": [], "val": [], "test": []}
    for label in np.flatnonzero(shares):
        n_train, n_val, n_test = (int(n) for n in wanted[:, label])
        own, own_test = (pool[device.id].get(int(label), np.array([], int)) for pool in pools)
        stock = ((len(own), n_train + n_val), (len(own_test), n_test))
        fit = min([1.0, *(have / want for have, want in stock if want)])
        n_train, n_val, n_test = (int(fit * n) for n in (n_train, n_val, n_test))
        picked["train"].append(own[:n_train])
        picked["val"].append(own[n_train : n_train + n_val])
        picked["test"].append(own_test[:n_test])
    stream = np.random.default_rng([seed, DEVICE, device.id, 1])
    splits = {name: stream.permutation(np.concatenate(p)) for name, p in picked.items()}
    rows = [
        _rows(test if name == "test" else train, index, device.name, "device", name)
        for name, index in splits.items()
    ]
    return rows + _shared_rows(train, splits["train"], device, plan, stream)


def _own_rows(source: Source, device: DevicePlan, plan: Plan) -> list[pd.DataFrame]:
    """A device's own images, each in the split that its content says."""
    place = np.array([int(sha256[:8], 16) / 16**8 for sha256 in source.sha256[source.usable]])
    ends = [plan.train_fraction, plan.train_fraction + plan.val_fraction]
    split = np.searchsorted(ends, place, side="right")
    return [
        _rows(source, source.usable[split == i], device.name, "device", name)
        for i, name in enumerate(("train", "val", "test"))
    ]


def _split_counts(shares: NDArray[np.float64], plan: Plan) -> Index:
    """Samples of each class in train, val and test ``(3, classes)``."""
    total = plan.samples_per_device
    n_train, n_val = round(total * plan.train_fraction), round(total * plan.val_fraction)
    return np.stack([apportion(shares, n) for n in (n_train, n_val, total - n_train - n_val)])


def apportion(shares: NDArray[np.float64], total: int) -> Index:
    """Whole numbers that add up to ``total`` and are nearest to ``total * shares`` (largest
    remainders; ties to the lower index)."""
    exact = np.round(shares / shares.sum() * total, 9)
    counts = np.floor(exact).astype(np.int64)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: total - counts.sum()]] += 1
    return counts


def shared_count(fraction: float, total: int) -> int:
    """How many of ``total`` samples are shared: ``fraction`` of them as a whole number, inside
    :data:`SHARED_RANGE` where a whole number lies in it."""
    least, most = shared_bounds(total)
    return min(max(round(fraction * total), least), most)


def shared_bounds(total: int, limits: tuple[float, float] = SHARED_RANGE) -> tuple[int, int]:
    """The fewest and the most of ``total`` samples that may be shared (of 3 samples, no whole
    number is 10 to 20 %: then 0 or 1)."""
    least, most = math.ceil(limits[0] * total - 1e-9), math.floor(limits[1] * total + 1e-9)
    return min(least, most), max(least, most)


def _shared_rows(
    train: Source, own: Index, device: DevicePlan, plan: Plan, stream: np.random.Generator
) -> list[pd.DataFrame]:
    """The consented samples, of the device's train split alone, as its edge's train and val; both
    have the train split's class shares."""
    count = shared_count(plan.shared_fraction, len(own))
    shared = _stratified(train, stream.permutation(own), count)
    val = _stratified(train, shared, round(plan.shared_val_fraction * count))
    return [
        _rows(train, index, device.edge, "edge", split, device.name)
        for split, index in (("train", shared[~np.isin(shared, val)]), ("val", val))
    ]


def _stratified(source: Source, index: Index, count: int) -> Index:
    """The first ``count`` positions of ``index`` with its class shares, in its order."""
    if count == 0:
        return index[:0]
    labels = source.labels[index]
    sizes = np.bincount(labels)
    quota = apportion(sizes.astype(float), count)
    place = np.empty(len(index), np.int64)  # each position's place among those of its class
    for label in np.flatnonzero(sizes):
        place[labels == label] = np.arange(sizes[label])
    return index[place < quota[labels]]


def _rows(
    source: Source, index: Index, owner: str, tier: str, split: str, shared_by: str | None = None
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sample_id": [f"{source.split}-{i:06d}" for i in index],
            "sha256": source.sha256[index],
            "label": source.labels[index],
            "owner": owner,
            "tier": tier,
            "split": split,
            "shared_by": pd.Series([shared_by] * len(index), dtype="object"),
        }
    )
