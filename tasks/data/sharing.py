"""What a device consents to share: a part of its train split, which its edge server gets."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from tasks.data.plan import DevicePlan, Index, Plan, apportion
from tasks.data.rows import Source, places, rows_of

SHARED_RANGE = (0.1, 0.2)


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


def shared_rows(
    train: Source, own: Index, device: DevicePlan, plan: Plan, stream: np.random.Generator
) -> list[pd.DataFrame]:
    """The consented samples, of the device's train split alone, as its edge's train and val; both
    have the train split's class shares."""
    count = shared_count(plan.shared_fraction, len(own))
    shared = _stratified(train, stream.permutation(own), count)
    val = _stratified(train, shared, round(plan.shared_val_fraction * count))
    return [
        rows_of(train, index, device.edge, "edge", split, device.name)
        for split, index in (("train", shared[~np.isin(shared, val)]), ("val", val))
    ]


def _stratified(source: Source, index: Index, count: int) -> Index:
    """The first ``count`` positions of ``index`` with its class shares, in its order."""
    if count == 0:
        return index[:0]
    labels = source.labels[index]
    quota = apportion(np.bincount(labels).astype(float), count)
    return index[places(labels) < quota[labels]]
