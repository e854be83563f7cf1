"""Who owns which sample: public, private and shared sets, by seed and in a manifest.

The source's train split gives the public train and val sets and the devices' train and val
splits; its test split gives all test splits. What the public sets leave is the private pool. It
is cut, class by class, into ``slots`` equal parts, and the device with id i draws from part i with
a random stream of its own: adding a device changes nothing for any other. Where data are few there
may be a part for each device that has the class instead (no ``slots``).

A part holds only so much of a class. Where a device should have more, it gets what there is, and
its train, val and test of that class shrink alike, so that their class shares stay the same; but of
each it gets one while there is one, and the public sets leave it (:class:`tasks.data.plan.Needs`).
Of a class that a device is only to meet (:mod:`tasks.data.unseen`) it gets the test samples alone;
all else is as it would be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.data.contexts import Contexts
from tasks.data.own import own_rows
from tasks.data.plan import DEVICE, DevicePlan, Index, Needs, Plan, needs, part_sizes
from tasks.data.rows import COLUMNS, SPLITS, Source, places, rows_of
from tasks.data.sharing import shared_rows
from tasks.data.unseen import unseen_cells
from tasks.run.errors import DataError, SettingsError
from tasks.run.words import counted

PUBLIC, POOL = 0, 1  # names of random streams, beside those of tasks.data.plan

Parts = dict[tuple[int, int], Index]
"""Positions by device (or slot) and cell (:class:`tasks.data.plan.Plan`)."""


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
    need = needs(devices, plan, seed)
    sizes = (plan.public_train + plan.public_val, plan.public_test)
    (public_train, rest_train), (public_test, rest_test) = (
        _public(source, count, least, plan, seed)
        for source, count, least in zip((train, test), sizes, (need.train, need.test), strict=True)
    )
    rows = [
        rows_of(train, public_train[: plan.public_train], "cloud", "cloud", "train"),
        rows_of(train, public_train[plan.public_train :], "cloud", "cloud", "val"),
        rows_of(test, public_test, "cloud", "cloud", "test"),
    ]
    takers = _takers(devices, need, plan)
    pools = [
        _parts(source, rest, takers, plan, seed)
        for source, rest in ((train, rest_train), (test, rest_test))
    ]
    unseen = unseen_cells(devices, need.wanted, plan.unseen_classes, seed)
    for device, wanted, met in zip(devices, need.wanted, unseen, strict=True):
        counts = _counts(pools, device, wanted, met)
        dealt = _device_rows((train, test), pools, device, plan, counts, seed)
        brought = own.get(device.name) if own else None
        rows += dealt + own_rows(brought, device, plan, dealt[0])
    frame = pd.concat(rows, ignore_index=True)
    frame["context"] = _contexts(frame, (train, test), devices, plan.contexts)
    return frame[COLUMNS]


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


def _public(source: Source, count: int, need: Index, plan: Plan, seed: int) -> tuple[Index, Index]:
    """Positions of the public set, which has public contexts alone, and of what it leaves: of each
    cell at least ``need`` where there are so many."""
    stream = np.random.default_rng([seed, PUBLIC, source.split == "test"])
    order = stream.permutation(source.usable)
    cells = source.cells(plan.classes)[order]
    spare = np.clip(np.bincount(cells, minlength=plan.cells) - need, 0, None)
    spare *= plan.public
    free = np.flatnonzero(places(cells) < spare[cells])
    if count > len(free):
        raise DataError(
            f"the source's {source.split} split has {len(order):,} distinct {plan.noun}s, of which "
            f"devices need {len(order) - len(free):,}; the public set takes {count:,} of them. "
            f"Lower partition.public_* to {len(free):,}, or add "
            f"{counted(count - len(free), plan.noun)}"
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
    cells = source.cells(plan.classes)
    for cell in map(int, np.unique(cells)):
        stream = np.random.default_rng([seed, POOL, source.split == "test", cell])
        members = stream.permutation(np.sort(rest[cells[rest] == cell]))
        ids = takers[cell] if cell < len(takers) else []
        ends = np.cumsum(part_sizes(len(members), len(ids), cell, plan))
        parts |= {(i, cell): part for i, part in zip(ids, np.split(members, ends), strict=False)}
    return parts


def _part(pool: Parts, device: DevicePlan, cell: int) -> Index:
    return pool.get((device.id, cell), np.array([], np.int64))


def _counts(
    pools: list[Parts], device: DevicePlan, wanted: Index, unseen: NDArray[np.bool_]
) -> Index:
    """What a device gets of each cell in train, val and test ``(3, cells)``."""
    counts = np.zeros_like(wanted)
    for cell in map(int, np.flatnonzero(wanted.any(0))):
        stock, stock_test = (len(_part(pool, device, cell)) for pool in pools)
        counts[:, cell] = of_part(stock, stock_test, wanted[:, cell])
    counts[:2, unseen] = 0
    return counts


def _device_rows(
    sources: tuple[Source, Source],
    pools: list[Parts],
    device: DevicePlan,
    plan: Plan,
    counts: Index,
    seed: int,
) -> list[pd.DataFrame]:
    train, test = sources
    picked: dict[str, list[Index]] = {name: [np.array([], np.int64)] for name in SPLITS}
    for cell in map(int, np.flatnonzero(counts.any(0))):
        own, own_test = (_part(pool, device, cell) for pool in pools)
        n_train, n_val, n_test = counts[:, cell]
        picked["train"].append(own[:n_train])
        picked["val"].append(own[n_train : n_train + n_val])
        picked["test"].append(own_test[:n_test])
    stream = np.random.default_rng([seed, DEVICE, device.id, 1])
    splits = {name: stream.permutation(np.concatenate(p)) for name, p in picked.items()}
    rows = [
        rows_of(test if name == "test" else train, index, device.name, "device", name)
        for name, index in splits.items()
    ]
    return rows + shared_rows(train, splits["train"], device, plan, stream)


def of_part(stock: int, stock_test: int, wanted: Index) -> tuple[int, int, int]:
    """What a device gets of a class in train, val and test, of a part that holds so many."""
    learns, tests = int(wanted[:2].sum()), int(wanted[2])
    fit = min(
        [1.0, *(have / want for have, want in ((stock, learns), (stock_test, tests)) if want)]
    )
    n_train, n_val, n_test = (max(int(fit * n), min(int(n), 1)) for n in wanted)
    n_train = min(n_train, stock)
    return n_train, min(n_val, stock - n_train), min(n_test, stock_test)
