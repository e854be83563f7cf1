"""How samples are to be divided: which classes a device has, how many of each, and what that asks
of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

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
    wanted: frozenset[int] = frozenset()  # labels that its fleet declares


@dataclass(frozen=True)
class Plan:
    """How the samples are divided.

    ``heterogeneity``: ``iid``; ``C1``, ``C2``, ``C3``: a device has 80 %, 50 %, 30 % of the classes
    of its context (at least 2), in equal shares, and devices of a group have the same ones, on
    whichever edge; ``dirichlet``: each device draws its class shares from Dirichlet(alpha), the
    smaller the more uneven.

    ``samples_per_device`` is the most a device gets (0: it lives on what it brings itself);
    ``train_fraction`` and ``val_fraction`` of it are train and val, the rest is test.
    ``shared_fraction`` is of the train split, and ``shared_val_fraction`` of what is shared. The
    private samples of a class are cut into ``slots`` parts, or (None) into as many as there are
    devices that have the class.

    What is dealt apart is a class of a *context*, a **cell**: number ``context * classes + class``.
    Where sensors make the contexts, or there is one, cells are the classes. A context may lack
    classes: of cells that are ``absent``, a device of that context is dealt nothing. ``noun`` is
    what a sample is called. Of ``unseen_classes`` a device gets test samples alone
    (:mod:`tasks.data.unseen`).
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
    classes: int
    contexts: Contexts = ONE
    absent: frozenset[int] = field(default_factory=frozenset)
    noun: str = "image"
    unseen_classes: int = 0

    @property
    def cells(self) -> int:
        """How many there are."""
        return self.contexts.dealt * self.classes

    @property
    def public(self) -> NDArray[np.bool_]:
        """Which cells the cloud's data may have ``(cells,)``."""
        return self.cells_of(self.contexts.public)

    def cells_of(self, chosen: Sequence[int]) -> NDArray[np.bool_]:
        """Which cells are of the chosen contexts: all, where contexts are not dealt apart."""
        of_context = np.isin(range(self.contexts.dealt), chosen) | self.contexts.made
        return np.repeat(of_context, self.classes)

    def of_stock(self, train: Sequence[int]) -> Plan:
        """The same, where there are so many train samples of each cell. (A class that nobody has,
        with one context, is no such lack: it is wanted, and missed.)"""
        empty = np.flatnonzero(np.asarray(train) == 0) if self.contexts.dealt > 1 else ()
        return replace(self, absent=frozenset(map(int, empty)))

    def first_cell(self, device: DevicePlan) -> int:
        """The cell of the first class that a device may be dealt."""
        return 0 if self.contexts.made else device.context * self.classes

    def present(self, device: DevicePlan) -> Index:
        """The classes that a device may be dealt: those that there are in its context."""
        first = self.first_cell(device)
        there = [label for label in range(self.classes) if first + label not in self.absent]
        return np.array(there, np.int64)


def devices_of(
    settings: Settings, contexts: Contexts, names: Sequence[str] = ()
) -> list[DevicePlan]:
    """What the partition needs to know of the fleet's devices, in the order of their ids; which
    classes they want, where the classes' ``names`` are given.

    Raises:
        SettingsError: a device's context is none of these.
    """
    found = [
        DevicePlan(
            d.id,
            d.name,
            cluster.edge,
            d.group,
            contexts.of(d),
            frozenset(at for at, name in enumerate(names) if name in d.wanted),
        )
        for cluster in settings.fleet
        for d in cluster.devices
    ]
    return sorted(found, key=lambda device: device.id)


NOT_DIVIDED = ("public_contexts", "ceiling_samples")
"""Settings of the partition that say nothing of who gets how many."""


def plan_of(settings: Settings, contexts: Contexts, train: Sequence[int]) -> Plan:
    """How the settings have data divided of which there are so many ``train`` samples in each
    cell."""
    spec = settings.partition.model_dump(exclude={*NOT_DIVIDED})
    noun, classes = settings.data.modality, len(train) // contexts.dealt
    return Plan(**spec, classes=classes, contexts=contexts, noun=noun).of_stock(train)


def class_shares(device: DevicePlan, plan: Plan, seed: int) -> NDArray[np.float64]:
    """What fraction of a device's samples each class gets ``(classes,)``; nothing of any, where its
    context has none.

    Raises:
        SettingsError: unknown heterogeneity.
    """
    present, shares = plan.present(device), np.zeros(plan.classes)
    if not len(present):
        return shares
    if plan.heterogeneity == "iid":
        shares[present] = 1 / len(present)
    elif plan.heterogeneity == "dirichlet":
        stream = np.random.default_rng([seed, DEVICE, device.id])
        shares[present] = stream.dirichlet(np.full(len(present), plan.dirichlet_alpha))
    elif plan.heterogeneity in CLASS_FRACTION:
        count = max(2, round(CLASS_FRACTION[plan.heterogeneity] * len(present)))
        count = min(count, len(present))
        stream = np.random.default_rng([seed, GROUP, device.group])
        shares[present[stream.choice(len(present), count, replace=False)]] = 1 / count
    else:
        raise SettingsError(f"partition.heterogeneity: unknown level {plan.heterogeneity!r}")
    return shares


def split_counts(shares: NDArray[np.float64], plan: Plan) -> Index:
    """Samples of each class in train, val and test ``(3, classes)``."""
    total = plan.samples_per_device if shares.any() else 0
    n_train, n_val = round(total * plan.train_fraction), round(total * plan.val_fraction)
    return np.stack([apportion(shares, n) for n in (n_train, n_val, total - n_train - n_val)])


def apportion(shares: NDArray[np.float64], total: int) -> Index:
    """Whole numbers that add up to ``total`` and are nearest to ``total * shares`` (largest
    remainders; ties to the lower index)."""
    exact = np.round(shares / (shares.sum() or 1) * total, 9)
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


def needs(devices: Sequence[DevicePlan], plan: Plan, seed: int) -> Needs:
    """What devices, in the order of their ids, need of each cell at least."""
    wanted = np.zeros((len(devices), 3, plan.cells), np.int64)
    for device, of_device in zip(devices, wanted, strict=True):
        first = plan.first_cell(device)
        shares = class_shares(device, plan, seed)
        of_device[:, first : first + plan.classes] = split_counts(shares, plan)
    least = np.minimum(wanted, 1)
    if plan.slots is None:
        parts, of_split = least.max(1).sum(0), least.sum(0)
    else:  # any part may be any device's, also that of one to come
        had = {device.context for device in devices}  # one may be said to live in a public context
        private = plan.cells_of(sorted({*plan.contexts.private, *had}))
        private[list(plan.absent)] = False
        parts = np.full(plan.cells, plan.slots)
        of_split = np.tile(private * (plan.slots if plan.samples_per_device else 0), (3, 1))
    return Needs(wanted, parts, of_split[:2].sum(0), of_split[2])


def part_sizes(stock: int, parts: int, label: int, plan: Plan) -> Index:
    """Samples in each part of a class. What equal parts leave over is given to nobody, or where
    each part is a device's, one each to some, to others for the next class."""
    if not parts:
        return np.array([], np.int64)
    sizes = np.full(parts, stock // parts)
    if plan.slots is None:
        sizes[(np.arange(stock % parts) + label) % parts] += 1
    return sizes
