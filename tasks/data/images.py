"""What images of a user allow: of which size, and how many for whom."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tasks.data.contexts import Contexts
from tasks.data.enough import shortage
from tasks.data.pictures import MOST_DAMAGED
from tasks.data.plan import CLASS_FRACTION, NOT_DIVIDED, DevicePlan, Plan, needs
from tasks.run.errors import SettingsError
from tasks.settings.sources import Counts

Sizes = dict[str, int | None]
"""Settings of the partition."""

PUBLIC_TRAIN, PUBLIC_TEST = 0.5, 0.3  # of an image folder's splits, the cloud's share
LEAST = 5  # images of a class that a device should have: 3 to train, 1 to choose, 1 to test


def image_shape(images: Iterable[Path]) -> tuple[int, int]:
    """Pixels of the shorter side, and channels (1 grey, 3 colour), of the first image that is one.

    Raises:
        SettingsError: none is.
    """
    from PIL import Image

    trouble = ""
    for path in images:
        try:
            with Image.open(path) as image:
                return min(image.size), 1 if Image.getmodebase(image.mode) == "L" else 3
        except (OSError, ValueError, SyntaxError) as error:
            trouble = trouble or f"{path}: not a readable image ({error})"
    raise SettingsError(trouble)


def contexts_in(counts: Counts) -> Contexts:
    """Those of samples that are to be dealt, all of them public."""
    return Contexts(counts.contexts, tuple(range(len(counts.contexts))))


def partition_of(
    counts: Counts,
    fleet: Sequence[DevicePlan],
    slots: int,
    shipped: Mapping[str, Any],
    seed: int = 0,
    noun: str = "image",
) -> Sizes:
    """Sizes that the samples allow: some are public, the rest is cut into ``slots`` parts, and a
    device asks of its part for no more than the rarest class has. Where that is too little for a
    device, there is a part only for each device of the ``fleet`` that has a class.

    Raises:
        SettingsError: that is too little too; says how many would do.
    """
    spec = {name: v for name, v in shipped["partition"].items() if name not in NOT_DIVIDED}
    classes = len(counts.classes)
    contexts = contexts_in(counts)
    plan = Plan(**{**spec, "slots": None}, classes=classes, contexts=contexts, noun=noun)
    plan = plan.of_stock(counts.train)
    train, test = (
        [of[cell] for cell in range(plan.cells) if cell not in plan.absent]
        for of in (counts.train, counts.test)
    )
    learns = plan.train_fraction + plan.val_fraction
    least, least_test = stock(train, PUBLIC_TRAIN, slots), stock(test, PUBLIC_TEST, slots)
    of_class = int(min((least - 1) / learns, least_test / (1 - learns) + 1e-9))
    if of_class < LEAST:
        return of_few(fleet, plan, seed, counts)
    has = max(2, round(CLASS_FRACTION[plan.heterogeneity] * classes))
    return {
        **public_sizes(PUBLIC_TRAIN * sum(train), PUBLIC_TEST * sum(test)),
        "samples_per_device": max(10, min(plan.samples_per_device, has * of_class)),
        "slots": slots,
    }


def of_owners(counts: Counts) -> Sizes:
    """Sizes where it is told whose images are whose: all that are no device's are public, but for
    as many as may be damaged."""
    whole = 1 - MOST_DAMAGED
    sizes = public_sizes(whole * sum(counts.train), whole * sum(counts.test))
    return {**sizes, "samples_per_device": 0, "slots": None}


def public_sizes(train: float, test: float) -> Sizes:
    """The cloud's splits, of so many images."""
    return {
        "public_train": max(1, int(0.8 * train)),
        "public_val": max(1, int(0.2 * train)),
        "public_test": max(1, int(test)),
    }


def of_few(fleet: Sequence[DevicePlan], plan: Plan, seed: int, counts: Counts) -> Sizes:
    """Sizes for few images: devices take what the public sets leave, and these no more than the
    devices can spare.

    Raises:
        SettingsError: there are too few; says how many would do.
    """
    train, test = np.array(counts.train), np.array(counts.test)
    need = needs(fleet, plan, seed)
    part = (1 - PUBLIC_TRAIN) * train / np.maximum(need.parts, 1)
    of_device = max(part[wanted.any(0)].sum() for wanted in need.wanted)
    samples = round(of_device / (plan.train_fraction + plan.val_fraction))
    plan = replace(plan, samples_per_device=max(10, min(plan.samples_per_device, samples)))
    need = needs(fleet, plan, seed)
    free, free_test = (
        int(np.clip(has - needed, 0, None).sum())
        for has, needed in ((train, need.train), (test, need.test))
    )
    found: Sizes = {
        **public_sizes(
            min(PUBLIC_TRAIN * train.sum(), free), min(PUBLIC_TEST * test.sum(), free_test)
        ),
        "samples_per_device": plan.samples_per_device,
        "slots": None,
    }
    both = (counts.train, counts.test)
    short = shortage(fleet, Plan(**{**vars(plan), **found}), seed, counts.classes, both)
    if short:
        raise SettingsError(f"--data: {short}")
    return found


def stock(counts: Sequence[float], public: float, slots: int) -> int:
    """Images of the rarest class in each part of what the public set leaves. That set is drawn at
    random; 2.5 standard deviations allow for what it may take of one class."""
    rarest, total = min(counts), sum(counts)
    if not rarest:
        return 0
    deviation = math.sqrt(rarest * public * (1 - public) * (1 - rarest / total))
    return max(0, int(((1 - public) * rarest - 2.5 * deviation) / slots))
