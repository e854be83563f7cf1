"""Who owns which sample: public, private and shared sets, by seed and in a manifest.

The source's train split gives the public train and val sets and the devices' train and val
splits; its test split gives all test splits. What the public sets leave is the private pool. It
is cut, class by class, into ``slots`` equal parts, and the device with id i draws from part i with
a random stream of its own: adding a device changes nothing for any other. Where data are few there
may be a part for each device that has the class instead (no ``slots``).

A part holds only so much of a class. Where a device should have more, it gets what there is, and
its train, val and test of that class shrink alike, so that their class shares stay the same; but of
each it gets one while there is one, and the public sets leave it (:class:`tasks.data.plan.Needs`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.data.contexts import Contexts
from tasks.data.enough import require_own
from tasks.data.plan import (
    DEVICE,
    DevicePlan,
    Index,
    Needs,
    Plan,
    apportion,
    needs,
    part_sizes,
    public_cells,
)
from tasks.run.errors import DataError, SettingsError
from tasks.run.words import counted

COLUMNS = ["sample_id", "sha256", "label", "owner", "tier", "split", "shared_by", "context"]
SHARED_RANGE = (0.1, 0.2)
SPLITS = ("train", "val", "test")
PUBLIC, POOL = 0, 1  # names of random streams, beside those of tasks.data.plan

Parts = dict[tuple[int, int], Index]
"""Positions by device (or slot) and cell (:class:`tasks.data.plan.Plan`)."""


@dataclass(frozen=True)
class Source:
    """Labels and content hashes of one split of the source; ``usable`` are the positions that may
    be given out (contents that appeared before are left out); ``contexts`` are positions in the
    contexts' names, None where the source tells of none."""

    split: str
    labels: NDArray[np.int64]
    sha256: NDArray[np.str_]
    usable: Index
    contexts: Index | None = None

    def cells(self, classes: int) -> Index:
        """The cell of each sample."""
        return self.labels if self.contexts is None else self.contexts * classes + self.labels


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
        DataError: the source is too small for the public sets, or a device has nothing.
        SettingsError: a device id is negative, taken twice or beyond the slots.
    """
    _check(devices, plan.slots)
    devices = sorted(devices, key=lambda d: d.id)
    classes = int(train.labels.max()) + 1
    need = needs(devices, plan, classes, seed)
    counts = (plan.public_train + plan.public_val, plan.public_test)
    (public_train, rest_train), (public_test, rest_test) = (
        _public(source, count, least, plan.contexts, seed)
        for source, count, least in zip((train, test), counts, (need.train, need.test), strict=True)
    )
    rows = [
        _rows(train, public_train[: plan.public_train], "cloud", "cloud", "train"),
        _rows(train, public_train[plan.public_train :], "cloud", "cloud", "val"),
        _rows(test, public_test, "cloud", "cloud", "test"),
    ]
    takers = _takers(devices, need, plan)
    pools = [
        _parts(source, rest, takers, plan, seed)
        for source, rest in ((train, rest_train), (test, rest_test))
    ]
    for device, wanted in zip(devices, need.wanted, strict=True):
        dealt = _device_rows((train, test), pools, device, plan, wanted, seed)
        brought = own.get(device.name) if own else None
        rows += dealt + _own_rows(brought, device, plan, dealt[0])
    frame = pd.concat(rows, ignore_index=True)
    frame["context"] = _contexts(frame, (train, test), devices, plan.contexts)
    return frame[COLUMNS]


def summary(manifest: pd.DataFrame) -> pd.DataFrame:
    """Per owner, its tier, number of classes and samples in train, val and test; the cloud first,
    then as in the manifest."""
    counts = manifest.groupby(["owner", "split"], sort=False).size().unstack(fill_value=0)
    counts = counts.reindex(columns=["train", "val", "test"], fill_value=0)
    facts = manifest.groupby("owner", sort=False).agg(
        tier=("tier", "first"), classes=("label", "nunique")
    )
    return facts.join(counts).rename_axis(columns=None).reset_index()


def _check(devices: Sequence[DevicePlan], slots: int | None) -> None:
    taken = {"id": [str(d.id) for d in devices], "name": [d.name for d in devices]}
    for what, values in taken.items():
        twice = [v for v in values if values.count(v) > 1]
        if twice:
            raise SettingsError(f"fleet: device {what} {twice[0]} appears more than once")
    for device in devices:
        if device.id < 0:
            raise SettingsError(f"{device.name}: id {device.id} is negative")
        if slots is not None and device.id >= slots:
            raise SettingsError(
                f"{device.name}: id {device.id} needs partition.slots > {device.id} "
                f"(it is {slots}; raising it reshuffles every device's data)"
            )


def _contexts(
    frame: pd.DataFrame,
    sources: tuple[Source, Source],
    devices: Sequence[DevicePlan],
    contexts: Contexts,
) -> NDArray[np.str_]:
    """The name of each row's context: the device's whose sample it is or was; the cloud's samples
    have the source's, or are dealt out to public sensors by their content."""
    of_device = {device.name: device.context for device in devices}
    theirs = frame["shared_by"].fillna(frame["owner"]).map(of_device)
    at = theirs.fillna(contexts.public[0]).astype(int).to_numpy(copy=True)
    cloud = (frame["tier"] == "cloud").to_numpy()
    if contexts.made:
        drawn = [int(sha256[-8:], 16) % len(contexts.public) for sha256 in frame["sha256"][cloud]]
        at[cloud] = np.array(contexts.public)[drawn]
    for source in sources:
        if source.contexts is not None:
            mine = cloud & frame["sample_id"].str.startswith(f"{source.split}-").to_numpy()
            positions = frame["sample_id"][mine].str.rpartition("-")[2].astype(int)
            at[mine] = source.contexts[positions]
    return np.array(contexts.names)[at]


def _public(
    source: Source, count: int, need: Index, contexts: Contexts, seed: int
) -> tuple[Index, Index]:
    """Positions of the public set, which has public contexts alone, and of what it leaves: of each
    cell at least ``need`` where there are so many."""
    stream = np.random.default_rng([seed, PUBLIC, source.split == "test"])
    order = stream.permutation(source.usable)
    cells = source.cells(len(need) // contexts.dealt)[order]
    spare = np.clip(np.bincount(cells, minlength=len(need)) - need, 0, None)
    spare *= public_cells(contexts, len(need) // contexts.dealt)
    free = np.flatnonzero(_places(cells) < spare[cells])
    if count > len(free):
        raise DataError(
            f"the source's {source.split} split has {len(order):,} distinct images, of which "
            f"devices need {len(order) - len(free):,}; the public set takes {count:,} of them. "
            f"Lower partition.public_* to {len(free):,}, or add "
            f"{counted(count - len(free), 'image')}"
        )
    public = np.zeros(len(order), dtype=bool)
    public[free[:count]] = True
    return order[public], order[~public]


def _takers(devices: Sequence[DevicePlan], need: Needs, plan: Plan) -> list[list[int]]:
    """Of each cell, whose part is which: the slots, or the ids of the devices that have it."""
    if plan.slots is not None:
        return [list(range(plan.slots)) for _ in need.parts]
    return [
        [d.id for d, its in zip(devices, need.wanted, strict=True) if its[:, label].any()]
        for label in range(len(need.parts))
    ]


def _parts(source: Source, rest: Index, takers: list[list[int]], plan: Plan, seed: int) -> Parts:
    """A shuffled pool, cut cell by cell."""
    parts: Parts = {}
    cells = source.cells(len(takers) // plan.contexts.dealt)
    for cell in map(int, np.unique(cells)):
        stream = np.random.default_rng([seed, POOL, source.split == "test", cell])
        members = stream.permutation(np.sort(rest[cells[rest] == cell]))
        ids = takers[cell] if cell < len(takers) else []
        ends = np.cumsum(part_sizes(len(members), len(ids), cell, plan))
        parts |= {(i, cell): part for i, part in zip(ids, np.split(members, ends), strict=False)}
    return parts


def _device_rows(
    sources: tuple[Source, Source],
    pools: list[Parts],
    device: DevicePlan,
    plan: Plan,
    wanted: Index,
    seed: int,
) -> list[pd.DataFrame]:
    train, test = sources
    picked: dict[str, list[Index]] = {name: [np.array([], np.int64)] for name in SPLITS}
    for cell in map(int, np.flatnonzero(wanted.any(0))):
        own, own_test = (pool.get((device.id, cell), np.array([], np.int64)) for pool in pools)
        n_train, n_val, n_test = of_part(len(own), len(own_test), wanted[:, cell])
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


def of_part(stock: int, stock_test: int, wanted: Index) -> tuple[int, int, int]:
    """What a device gets of a class in train, val and test, of a part that holds so many."""
    learns, tests = int(wanted[:2].sum()), int(wanted[2])
    fit = min(
        [1.0, *(have / want for have, want in ((stock, learns), (stock_test, tests)) if want)]
    )
    n_train, n_val, n_test = (max(int(fit * n), min(int(n), 1)) for n in wanted)
    n_train = min(n_train, stock)
    return n_train, min(n_val, stock - n_train), min(n_test, stock_test)


def _own_rows(
    source: Source | None, device: DevicePlan, plan: Plan, dealt: pd.DataFrame
) -> list[pd.DataFrame]:
    """A device's own images, each in the split that its content says, beside its ``dealt`` train
    split. A class that it has of nowhere else is trained on, and where nothing was dealt no split
    stays empty: of the images that can be spared, the one nearest to it by content goes there.

    Raises:
        DataError: it has too little to train, choose and test.
    """
    labels = np.array([], np.int64) if source is None else source.labels[source.usable]
    if not len(dealt):
        require_own(device.name, len(labels), len(set(labels.tolist())))
    if source is None:
        return []
    place = np.array([int(sha256[:8], 16) / 16**8 for sha256 in source.sha256[source.usable]])
    ends = [plan.train_fraction, plan.train_fraction + plan.val_fraction]
    split = np.searchsorted(ends, place, side="right")
    for label in set(labels.tolist()) - set(dealt["label"]):
        mine = np.flatnonzero(labels == label)
        split[mine[np.argmin(place[mine])]] = 0
    for low, high, empty in ((*ends, 1), (ends[1], 1.0, 2)) if not len(dealt) else ():
        if not (split == empty).any():
            away = np.maximum(low - place, place - high)
            split[min(np.flatnonzero(_spared(split, labels)), key=lambda i: away[i])] = empty
    return [
        _rows(source, source.usable[split == i], device.name, "device", name)
        for i, name in enumerate(SPLITS)
    ]


def _spared(split: Index, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which images may leave their split: it keeps one, train one of each class."""
    kept = np.where(split == 0, labels, -split)  # val and test need no class: -1 and -2
    return np.array([(kept == of).sum() > 1 for of in kept])


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
    quota = apportion(np.bincount(labels).astype(float), count)
    return index[_places(labels) < quota[labels]]


def _places(labels: NDArray[np.int64]) -> Index:
    """Each position's place among those of its class."""
    place = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        mine = labels == label
        place[mine] = np.arange(mine.sum())
    return place


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
