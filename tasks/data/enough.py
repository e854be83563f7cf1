"""Whether data are enough for the public sets and a fleet, and how many would do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.data.folders import OWN
from tasks.data.plan import (
    DevicePlan,
    Index,
    Needs,
    Plan,
    devices_of,
    needs,
    part_sizes,
)
from tasks.data.unseen import unseen_cells
from tasks.run.errors import DataError
from tasks.run.words import counted
from tasks.settings.params import Settings
from tasks.settings.sources import OwnCount

Stock = tuple[Sequence[int], Sequence[int]]
"""Samples of each cell (:class:`tasks.data.plan.Plan`) in a source's train and test split."""


def require_enough(settings: Settings, plan: Plan, names: Sequence[str], counts: Stock) -> None:
    """Raises DataError if the data are too few for the public sets and the fleet, with how many
    would do. ``names`` are the classes'."""
    fleet = devices_of(settings, plan.contexts)
    short = shortage(fleet, plan, settings.seed, names, counts)
    if short:
        raise DataError(short)


def shortage(
    fleet: Sequence[DevicePlan],
    plan: Plan,
    seed: int,
    names: Sequence[str],
    counts: Stock,
) -> str | None:
    """What the data lack for the public sets and a fleet (in the order of ids), in words, with how
    many would do; None where they suffice."""
    train, test = np.asarray(counts[0]), np.asarray(counts[1])
    need = needs(fleet, plan, seed)
    public = plan.public
    remedy = (
        ". Or: "
        + ("fewer devices" if plan.slots is None else "partition.slots: null, fewer devices")
        + f", or devices that live on their own {plan.noun}s (partition.samples_per_device: 0)"
    )
    remedy = remedy if plan.samples_per_device else ""
    for device in fleet if plan.samples_per_device else ():
        if not len(plan.present(device)):
            context = plan.contexts.names[device.context]
            return f"{device.name} is of context {context}, which has no {plan.noun} to learn from"
    least = need.train + public  # one that the cloud learns the class by
    few = np.flatnonzero(need.wanted.any((0, 1)) & (train < least))
    if len(few):
        worst = int(max(few, key=lambda cell: least[cell] - train[cell]))
        there = counted(int(train[worst]), f"distinct {plan.noun}")
        takers = counted(int(need.parts[worst]), "device" if plan.slots is None else "part")
        return (
            f"class {_called(worst, names, plan)} has {there} to learn from"
            f"{_and_others(len(few) - 1)}. "
            f"{least[worst]:,} would do: two for each of {takers}"
            f"{', and one that is public' if public[worst] else ''}{remedy}"
        )
    sizes = (plan.public_train + plan.public_val, plan.public_test)
    for split, count, has, needed in zip(
        ("train", "test"), sizes, (train, test), (need.train, need.test), strict=True
    ):
        has, needed = has[public], needed[public]
        free = int(np.clip(has - needed, 0, None).sum())
        if count > free:
            lower = f"lower partition.public_* to {free:,}, or " if free else ""
            return (
                f"the public sets take {count:,} of {has.sum():,} {plan.noun}s of the {split} "
                f"split, and the devices need {has.sum() - free:,}: {lower}"
                f"{has.sum() + count - free:,} {plan.noun}s would do{remedy}"
            )
    unknown = np.flatnonzero(train[public].reshape(-1, plan.classes).sum(0) == 0)
    if len(unknown) and not plan.contexts.made and public.sum() < plan.cells:
        return (
            f"class {names[unknown[0]]} has no public {plan.noun} to learn from"
            f"{_and_others(len(unknown) - 1)}: the cloud's contexts are "
            f"{', '.join(plan.contexts.names[i] for i in plan.contexts.public)} "
            "(partition.public_contexts), where one would do"
        )
    unseen = unseen_cells(fleet, need.wanted, plan.unseen_classes, seed)
    unmet = np.flatnonzero(unseen.any(0) & (test < need.test))
    if len(unmet):
        return (
            f"class {_called(unmet[0], names, plan)} has "
            f"{counted(int(test[unmet[0]]), f'distinct {plan.noun}')} to test on"
            f"{_and_others(len(unmet) - 1)}, and partition.unseen_classes has devices meet it: "
            f"{need.test[unmet[0]]:,} would do{remedy}. Or: partition.unseen_classes: 0"
        )
    untested = _untested(fleet, plan, need, np.minimum(test, need.test))
    if untested is None:
        return None
    return (
        f"{untested} would get no {plan.noun} of the test split, of which its classes have at most "
        f"{test.max()}: {need.parts.max()} of each class would do{remedy}"
    )


def require_own(device: str, own: OwnCount, noun: str) -> None:
    """Raises DataError if a device that is given no samples has too few of its own, with how many
    would do. ``noun`` is what a sample is called."""
    told, uses = own.val + own.tested, ((own.val, "one to choose by"), (own.tested, "one to test"))
    lacks = [use for has, use in uses if not has]
    needed, free = max(own.classes, 1) + len(lacks), own.samples - told
    if free < needed:
        also = ", " + " and ".join(lacks) if lacks else ""
        of = " to train on" if told else ""
        raise DataError(
            f"{device} has {counted(free, f'distinct {noun}')} of its own{of} and is given "
            "none (partition.samples_per_device): it needs one to train on of each class"
            f"{also}. {needed} in {OWN}/{device}/<class>/ of the data folder, or as its rows of a "
            "manifest, would do"
        )


def _and_others(count: int) -> str:
    """How many classes more have too few."""
    return f" (too few also in {counted(count, 'other class')})" if count else ""


def _called(cell: int, names: Sequence[str], plan: Plan) -> str:
    """A class, and where contexts are dealt apart, of which context."""
    context, label = divmod(cell, len(names))
    return names[label] + (f" ({plan.contexts.names[context]})" if plan.contexts.dealt > 1 else "")


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
