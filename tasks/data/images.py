"""What lies in a folder of images, and what it allows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tasks.data.enough import shortage
from tasks.data.plan import CLASS_FRACTION, DevicePlan, Plan, needs
from tasks.data.sources import fetch
from tasks.data.sources.image_folder import find
from tasks.run.errors import SettingsError

PUBLIC_TRAIN, PUBLIC_TEST = 0.5, 0.3  # of an image folder's splits, the cloud's share
LEAST = 5  # images of a class that a device should have: 3 to train, 1 to choose, 1 to test


def count_images(folder: Path) -> dict[str, dict[str, list[Path]]]:
    """The images of each class, of the ``train`` split and, where there is one, of ``test``.

    Raises:
        DataError: there are no two class folders, or one has no images.
    """
    fetch("image-folder", folder)
    found = find(folder)
    return {"train": found.train} | ({"test": found.test} if found.test else {})


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


def partition_of(
    images: Mapping[str, Mapping[str, list[Path]]],
    fleet: Sequence[DevicePlan],
    slots: int,
    shipped: Mapping[str, Any],
    seed: int = 0,
) -> dict[str, int | None]:
    """Sizes that the images allow: some are public, the rest is cut into ``slots`` parts, and a
    device asks of its part for no more than the rarest class has. Where that is too little for a
    device, there is a part only for each device of the ``fleet`` that has a class.

    Raises:
        SettingsError: that is too little too; says how many images would do.
    """
    spec = {name: v for name, v in shipped["partition"].items() if name != "public_contexts"}
    test_share = shipped["data"]["test_fraction"]
    counts = {part: [len(files) for files in found.values()] for part, found in images.items()}
    train = [n * (1.0 if "test" in counts else 1 - test_share) for n in counts["train"]]
    test = counts.get("test") or [n * test_share for n in counts["train"]]
    learns = spec["train_fraction"] + spec["val_fraction"]
    least, least_test = stock(train, PUBLIC_TRAIN, slots), stock(test, PUBLIC_TEST, slots)
    of_class = int(min((least - 1) / learns, least_test / (1 - learns) + 1e-9))
    if of_class < LEAST:
        names, tested = list(images["train"]), [max(1, round(n)) for n in test]
        split = ([round(n) for n in train], tested)
        return of_few(fleet, Plan(**{**spec, "slots": None}), seed, names, split)
    classes = max(2, round(CLASS_FRACTION[spec["heterogeneity"]] * len(train)))
    public = PUBLIC_TRAIN * sum(train)
    return {
        "public_train": int(0.8 * public),
        "public_val": int(0.2 * public),
        "public_test": max(1, int(PUBLIC_TEST * sum(test))),
        "samples_per_device": max(10, min(spec["samples_per_device"], classes * of_class)),
        "slots": slots,
    }


def of_few(
    fleet: Sequence[DevicePlan],
    plan: Plan,
    seed: int,
    names: Sequence[str],
    counts: tuple[list[int], list[int]],
) -> dict[str, int | None]:
    """Sizes for few images: devices take what the public sets leave, and these no more than the
    devices can spare.

    Raises:
        SettingsError: there are too few; says how many would do.
    """
    train, test = np.array(counts[0]), np.array(counts[1])
    need = needs(fleet, plan, len(names), seed)
    part = (1 - PUBLIC_TRAIN) * train / np.maximum(need.parts, 1)
    of_device = max(part[wanted.any(0)].sum() for wanted in need.wanted)
    samples = round(of_device / (plan.train_fraction + plan.val_fraction))
    plan = replace(plan, samples_per_device=max(10, min(plan.samples_per_device, samples)))
    need = needs(fleet, plan, len(names), seed)
    free, free_test = (
        int(np.clip(has - needed, 0, None).sum())
        for has, needed in ((train, need.train), (test, need.test))
    )
    public = min(PUBLIC_TRAIN * train.sum(), free)
    found = {
        "public_train": max(1, int(0.8 * public)),
        "public_val": max(1, int(0.2 * public)),
        "public_test": max(1, min(int(PUBLIC_TEST * test.sum()), free_test)),
        "samples_per_device": plan.samples_per_device,
        "slots": None,
    }
    short = shortage(fleet, Plan(**{**vars(plan), **found}), seed, names, counts)
    if short:
        raise SettingsError(f"--data: {short}")
    return found


def stock(counts: Sequence[float], public: float, slots: int) -> int:
    """Images of the rarest class in each part of what the public set leaves. That set is drawn at
    random; 2.5 standard deviations allow for what it may take of one class."""
    rarest, total = min(counts), sum(counts)
    deviation = math.sqrt(rarest * public * (1 - public) * (1 - rarest / total))
    return max(0, int(((1 - public) * rarest - 2.5 * deviation) / slots))
