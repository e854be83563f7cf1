"""Histograms of a device's data, by which it knows later whether they are still the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.data.modality import DataInfo
from tasks.run.store import Ref, read_tensors


def observed(samples: Ref, info: DataInfo) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels and :meth:`DataInfo.summary` ``(n,)`` of the train and val splits: of images, their
    mean brightness; of texts, what betrays their language."""
    tensors, _ = read_tensors(samples)
    raw = torch.cat([tensors[f"{s}_{info.raw}"] for s in ("train", "val")])
    labels = np.concatenate([tensors[f"{s}_labels"].numpy() for s in ("train", "val")])
    return labels, info.summary(raw)


def edges(info: DataInfo) -> NDArray[np.float64]:
    """The bounds of the bins of that number ``(bins + 1,)``."""
    return np.linspace(0, 1, info.bins + 1)


def shares(counts: NDArray[Any]) -> tuple[float, ...]:
    """A histogram that adds up to 1. A little is added to every count, so that what turns up later
    is drift and not a division by zero."""
    smoothed = counts + 0.1
    return tuple(float(x) for x in smoothed / smoothed.sum())


def by_chance(bins: int, samples: int) -> float:
    """The KL divergence in nats that 99 of 100 samples of an unchanged histogram stay below: twice
    their number times it is about chi-squared."""
    from scipy.stats import chi2

    return float(chi2.ppf(0.99, bins - 1) / (2 * samples))
