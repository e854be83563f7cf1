"""Who owns which sample: public, private and shared sets, by seed and in a manifest.

The source's train split gives the public train and val sets and the devices' train and val
splits; its test split gives all test splits. What the public sets leave is the private pool. It
is cut, class by class, into ``slots`` equal parts, and the device with id i draws from part i with
a random stream of its own: adding a device changes nothing for any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.errors import DataError, SettingsError

CLASS_FRACTION = {"C1": 0.8, "C2": 0.5, "C3": 0.3}
COLUMNS = ["sample_id", "sha256", "label", "owner", "tier", "split", "shared_by"]
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
    (at least 2), in equal shares, and devices of a group have the same ones; ``dirichlet``: class
    shares drawn from Dirichlet(alpha), the smaller the more uneven.
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
    train: Source, test: Source, devices: Sequence[DevicePlan], plan: Plan, seed: int
) -> pd.DataFrame:
    """The manifest: a row a sample and owner, columns :data:`COLUMNS`, in a fixed order.

    A shared sample has two rows: its device's, and its edge's with ``shared_by`` naming the device.

    Raises:
        DataError: the source is too small for the public sets.
        SettingsError: a device id is beyond the slots.
    """
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
        if device.id >= plan.slots:
            raise SettingsError(
                f"{device.name}: id {device.id} needs partition.slots > {device.id} "
                f"(it is {plan.slots}; raising it reshuffles every device's data)"
            )
        rows += _device_rows(train, test, pools, device, plan, classes, seed)
    return pd.concat(rows, ignore_index=True)[COLUMNS]


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
    train: Source,
    test: Source,
    pools: list[list[dict[int, Index]]],
    device: DevicePlan,
    plan: Plan,
    classes: int,
    seed: int,
) -> list[pd.DataFrame]:
    shares = class_shares(device, plan, classes, seed)
    test_fraction = 1 - plan.train_fraction - plan.val_fraction
    picked: dict[str, list[Index]] = {"train": [], "val": [], "test": []}
    for label in np.flatnonzero(shares):
        wanted = shares[label] * plan.samples_per_device
        own, own_test = (pool[device.id].get(int(label), np.array([], int)) for pool in pools)
        n_train, n_val = round(wanted * plan.train_fraction), round(wanted * plan.val_fraction)
        if n_train + n_val > len(own):  # the slot holds less: keep the proportion
            n_train = int(len(own) * n_train / (n_train + n_val))
            n_val = min(n_val, len(own) - n_train)
        picked["train"].append(own[:n_train])
        picked["val"].append(own[n_train : n_train + n_val])
        picked["test"].append(own_test[: round(wanted * test_fraction)])
    stream = np.random.default_rng([seed, DEVICE, device.id, 1])
    splits = {name: stream.permutation(np.concatenate(p)) for name, p in picked.items()}
    rows = [
        _rows(test if name == "test" else train, index, device.name, "device", name)
        for name, index in splits.items()
    ]
    return rows + _shared_rows(train, splits["train"], device, plan, stream)


def _shared_rows(
    train: Source, own: Index, device: DevicePlan, plan: Plan, stream: np.random.Generator
) -> list[pd.DataFrame]:
    """The consented samples, of the device's train split alone, as its edge's train and val."""
    count = int(plan.shared_fraction * len(own))
    shared = stream.permutation(own)[:count]
    n_val = round(plan.shared_val_fraction * count)
    return [
        _rows(train, index, device.edge, "edge", split, device.name)
        for split, index in (("train", shared[n_val:]), ("val", shared[:n_val]))
    ]


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
