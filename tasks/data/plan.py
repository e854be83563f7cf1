"""How samples are to be divided: which classes a device has, how many of each, and what that asks
of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.data.contexts import ONE, Contexts
from tasks.run.errors import SettingsError
from tasks.settings.params import Settings

CLASS_FRACTION = {"C1": 0.8, "C2": 0.5, "C3": 0.3}
GROUP, DEVICE = 2, 3  # names of random streams; those of the partition are 0 and 1

Index = NDArray[np.int64]


@dataclass(frozen=True)
class DevicePlan:
    """What the partition needs to know of a device."""

    id: int
    name: str
    edge: str
    group: int
    context: int = 0  # a position in the contexts' names


@dataclass(frozen=True)
class Plan:
    """How the samples are divided.

    ``heterogeneity``: ``iid``; ``C1``, ``C2``, ``C3``: a device has 80 %, 50 %, 30 % of the classes
    (at least 2), in equal shares, and devices of a group have the same ones, on whichever edge;
    ``dirichlet``: each device draws its class shares from Dirichlet(alpha), the smaller the more
    uneven.

    ``samples_per_device`` is the most a device gets (0: it lives on what it brings itself);
    ``train_fraction`` and ``val_fraction`` of it are train and val, the rest is test.
    ``shared_fraction`` is of the train split, and ``shared_val_fraction`` of what is shared. The
    private samples of a class are cut into ``slots`` parts, or (None) into as many as there are
    devices that have the class.

    What is dealt apart is a class of a *context*, a **cell**: number ``context * classes + class``.
    Where sensors make the contexts, or there is one, cells are the classes.
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
    slots: int | None
    contexts: Contexts = ONE


def devices_of(settings: Settings, contexts: Contexts) -> list[DevicePlan]:
    """What the partition needs to know of the fleet.

    Raises:
        SettingsError: a device's context is none of these.
    """
    return [
        DevicePlan(d.id, d.name, cluster.edge, d.group, contexts.of(d))
        for cluster in settings.fleet
        for d in cluster.devices
    ]


def plan_of(settings: Settings, contexts: Contexts) -> Plan:
    return Plan(**settings.partition.model_dump(exclude={"public_contexts"}), contexts=contexts)


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


def split_counts(shares: NDArray[np.float64], plan: Plan) -> Index:
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


@dataclass(frozen=True)
class Needs:
    """What a fleet asks of the data.

    Attributes:
        wanted: samples of each cell that each device is to get in train, val and test
            ``(devices, 3, cells)``.
        parts: into how many parts the private samples of each cell are cut ``(cells,)``.
        train, test: samples of each cell that must be left to the devices, of the source's two
            splits ``(cells,)``: one to train and one to choose by, and one to test, for each
            device that has the cell.
    """

    wanted: Index
    parts: Index
    train: Index
    test: Index


def needs(devices: Sequence[DevicePlan], plan: Plan, classes: int, seed: int) -> Needs:
    """What devices, in the order of their ids, need of each cell at least."""
    cells = plan.contexts.dealt * classes
    wanted = np.zeros((len(devices), 3, cells), np.int64)
    for device, of_device in zip(devices, wanted, strict=True):
        first = 0 if plan.contexts.made else device.context * classes
        shares = class_shares(device, plan, classes, seed)
        of_device[:, first : first + classes] = split_counts(shares, plan)
    least = np.minimum(wanted, 1)
    if plan.slots is None:
        parts, of_split = least.max(1).sum(0), least.sum(0)
    else:  # any part may be any device's, also that of one to come
        private = _cells_of(plan.contexts, plan.contexts.private, classes)
        parts = np.full(cells, plan.slots)
        of_split = np.tile(private * (plan.slots if plan.samples_per_device else 0), (3, 1))
    return Needs(wanted, parts, of_split[:2].sum(0), of_split[2])


def public_cells(contexts: Contexts, classes: int) -> NDArray[np.bool_]:
    """Which cells the cloud's data may have."""
    return _cells_of(contexts, contexts.public, classes)


def _cells_of(contexts: Contexts, chosen: Sequence[int], classes: int) -> NDArray[np.bool_]:
    """Which cells are of the chosen contexts: all, where contexts are not dealt apart."""
    of_context = np.isin(range(contexts.dealt), chosen) | contexts.made
    return np.repeat(of_context, classes)


def part_sizes(stock: int, parts: int, label: int, plan: Plan) -> Index:
    """Samples in each part of a class. What equal parts leave over is given to nobody, or where
    each part is a device's, one each to some, to others for the next class."""
    if not parts:
        return np.array([], np.int64)
    sizes = np.full(parts, stock // parts)
    if plan.slots is None:
        sizes[(np.arange(stock % parts) + label) % parts] += 1
    return sizes
