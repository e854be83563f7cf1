"""How alike the devices' data are (Eq. 19), from small samples of standardised features."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
"""``(n, features)``: one device's feature sample."""
Matrix = NDArray[np.float64]
Distance = Callable[[Samples, Samples], float]

BINS = 16
RANGE = (-3.0, 3.0)  # of standardised features; what lies beyond counts in the outer bins


def wasserstein(a: Samples, b: Samples) -> float:
    """The exact 1-Wasserstein distance with L1 ground cost between two samples (Eq. 19, POT)."""
    import ot

    cost = ot.dist(np.asarray(a, np.float64), np.asarray(b, np.float64), metric="cityblock")
    return float(ot.emd2([], [], cost))


def jensen_shannon(a: Samples, b: Samples) -> float:
    """Mean Jensen-Shannon divergence (nats, 0..ln 2) of the features' histograms over
    ``BINS`` equal bins of ``RANGE``."""
    from scipy.spatial.distance import jensenshannon

    distance = jensenshannon(_histograms(a), _histograms(b), axis=-1)  # the divergence's root
    return float((distance**2).mean())


def _histograms(sample: Samples) -> Matrix:
    low, high = RANGE
    position = (np.asarray(sample, np.float64) - low) / (high - low) * BINS
    index = np.clip(np.floor(position), 0, BINS - 1)
    counts = (index[:, :, None] == np.arange(BINS)).sum(0)
    return counts / len(sample)


DISTANCES: dict[str, Distance] = {"wasserstein": wasserstein, "js": jensen_shannon}


def distances(samples: Sequence[Samples], distance: Distance = wasserstein) -> Matrix:
    """Pairwise distances ``(devices, devices)``: symmetric, zero diagonal.

    Raises:
        ValueError: a sample cannot be compared with the others; says which and why.
    """
    for i, sample in enumerate(samples):
        reason = check_sample(sample, samples[0].shape[-1])
        if reason:
            raise ValueError(f"feature sample {i} {reason}")
    matrix = np.zeros((len(samples), len(samples)))
    for i in range(len(samples)):
        for j in range(i):
            matrix[i, j] = matrix[j, i] = distance(samples[i], samples[j])
    return matrix


def check_sample(sample: Samples, features: int) -> str | None:
    """Why a received feature sample cannot be compared, or None if it can."""
    if sample.ndim != 2 or sample.shape[1] != features:
        return f"has shape {sample.shape}, expected (n, {features})"
    if len(sample) < 2:
        return f"has too few rows ({len(sample)}), needs at least 2"
    if not np.isfinite(sample).all():
        return "has values that are not finite"
    return None


def debiased(samples: Sequence[Samples], distance: Distance = wasserstein) -> Matrix:
    """Distances over their mean, less what samples of one distribution would be apart; not below 0.
    Ours: the literal zero diagonal makes every device look far more like itself than its twin.

    That share is the mean distance between two halves of one device over the mean distance between
    halves of two devices: halves on both sides, because the distance of small samples is too large
    by an amount that depends on their size. One share for all keeps the order of the distances.
    """
    matrix = distances(samples, distance)
    count = len(samples)
    if count == 1:
        return matrix
    halves = [(s[0::2], s[1::2]) for s in samples]
    within = np.mean([distance(a, b) for a, b in halves])
    between = np.mean(
        [
            distance(a, b)
            for i in range(count)
            for j in range(i)
            for a in halves[i]
            for b in halves[j]
        ]
    )
    mean = matrix.sum() / (count * (count - 1))
    if not (mean > 0 and between > 0):
        return matrix
    rest = np.clip(matrix / mean - within / between, 0, None)
    np.fill_diagonal(rest, 0)
    return rest


def similarity(matrix: Matrix) -> Matrix:
    """w_ij = 1 / (1 + distance_ij) (Eq. 19), in (0, 1]."""
    return 1 / (1 + matrix)
