"""Classes that a device will meet and has no samples of to learn from, while a peer has some.

Those that its fleet declares, its owner knows of. Of a device that is dealt its samples,
``partition.unseen_classes`` are taken out of its train and val split.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.data.plan import DevicePlan, Index, Plan, devices_of, needs
from tasks.run.errors import SettingsError
from tasks.run.words import counted
from tasks.settings.params import MOST_NAMED, Settings

UNSEEN = 5  # name of a random stream, beside those of tasks.data.plan
KEPT = 2
"""Classes of its own that a device keeps at least."""


def unseen_cells(
    devices: Sequence[DevicePlan], dealt: Index, count: int, seed: int
) -> NDArray[np.bool_]:
    """Which cells each device, in the order of ids, is to have in its test split alone
    ``(devices, cells)``: ``count`` or fewer, so that one of its peers (of its edge and context)
    learns each of them, and it keeps :data:`KEPT` and one sample to choose by.

    Args:
        dealt: samples of each cell that each is dealt in train, val and test
            ``(devices, 3, cells)``.
    """
    learns, found = dealt[:, 0] > 0, np.zeros(dealt[:, 0].shape, bool)
    for at, device in enumerate(devices if count else ()):
        peers = [i for i, d in enumerate(devices) if i != at and _alike(d, device)]
        stream = np.random.default_rng([seed, UNSEEN, device.id])
        for cell in stream.permutation(np.flatnonzero(learns[at] & (dealt[at, 2] > 0))):
            left = learns[at] & (np.arange(dealt.shape[2]) != cell)
            if found[at].sum() == count or left.sum() < KEPT:
                break
            # a peer that learns it is one for all of them that do not
            if learns[peers, cell].any() and dealt[at, 1, left].any():
                learns[at], found[at, cell] = left, True
    return found


def _alike(one: DevicePlan, other: DevicePlan) -> bool:
    return (one.edge, one.context) == (other.edge, other.context)


@dataclass(frozen=True)
class Dealt:
    """What each device, by name, is to get: classes to ``learn`` from and classes that it is to
    meet, of which it gets test samples alone (``unseen``); labels, sorted."""

    learned: Mapping[str, list[int]]
    unseen: Mapping[str, list[int]]


def dealt_classes(settings: Settings, plan: Plan) -> Dealt:
    """Which classes devices are to get."""
    devices = devices_of(settings, plan.contexts)
    need = needs(devices, plan, settings.seed)
    unseen = unseen_cells(devices, need.wanted, plan.unseen_classes, settings.seed)

    def labels(cells: NDArray[np.bool_]) -> dict[str, list[int]]:
        names = [device.name for device in devices]
        found = ((np.flatnonzero(of) % plan.classes).tolist() for of in cells)
        return dict(zip(names, found, strict=True))

    return Dealt(labels((need.wanted[:, 0] > 0) & ~unseen), labels(unseen))


def wanted_labels(
    settings: Settings, unseen: Mapping[str, Collection[int]], names: Sequence[str]
) -> dict[str, list[int]]:
    """The classes that each device wants, by its name: declared, or unseen."""
    return {
        device.name: sorted({*map(names.index, device.wanted), *unseen[device.name]})
        for device in settings.devices
    }


def fewer(settings: Settings, unseen: Mapping[str, Collection[int]]) -> str | None:
    """Which devices have fewer unseen classes than they were to have, in words; None: none."""
    count = settings.partition.unseen_classes
    short = [f"{name} {len(labels)}" for name, labels in unseen.items() if len(labels) < count]
    if not short:
        return None
    more = f" and {counted(len(short) - MOST_NAMED, 'other')}" if len(short) > MOST_NAMED else ""
    return (
        f"partition.unseen_classes {count}: fewer are unseen by {', '.join(short[:MOST_NAMED])}"
        f"{more}: no peer of its edge and context learns more of its classes, or it would learn "
        f"fewer than {KEPT}"
    )


def require_wanted(
    settings: Settings, plan: Plan, names: Sequence[str], learned: Mapping[int, Collection[str]]
) -> None:
    """Raises SettingsError if devices cannot want what they are to.

    Args:
        names: of the classes; none: they are not known yet.
        learned: those that devices bring samples of to learn from, by id.
    """
    count = settings.partition.unseen_classes
    if count and learned:
        who = next(d.name for d in settings.devices if d.id in learned)
        raise SettingsError(
            f"partition.unseen_classes: {count}, but {who} brings samples of its own: give 0, and "
            "name what it wants in the fleet (wanted)"
        )
    if count > plan.classes - KEPT:
        raise SettingsError(
            f"partition.unseen_classes: {count}, but of {counted(plan.classes, 'class')} a "
            f"device keeps {KEPT}: give {max(0, plan.classes - KEPT)} at most"
        )
    dealt = dealt_classes(settings, plan)
    for device in settings.devices if names else ():
        labels = (*dealt.learned[device.name], *dealt.unseen[device.name])
        has = {*(names[label] for label in labels), *learned.get(device.id, ())}
        for name in device.wanted:
            if name not in names:
                raise SettingsError(
                    f"fleet: {device.name}: wanted {name!r}: no class of that name; there are: "
                    f"{', '.join(names[:MOST_NAMED])}{', ...' * (len(names) > MOST_NAMED)}"
                )
            if name in has:
                raise SettingsError(
                    f"fleet: {device.name}: wanted {name!r}: it has samples of that class, or is "
                    "dealt some: leave it out"
                )
