"""How alike the devices' data are (Eq. 19), from small samples of standardised features, or other
points that stand for them (:mod:`models.refinement.sketches`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
"""``(n, features)``: one device's feature sample."""
Matrix = NDArray[np.float64]
Distance = Callable[[Samples, Samples], float]
COPIED = 0.5
"""Of what two halves of one device are apart: twins' halves were never below .6, of 10 samples or
300, images or texts."""

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


def check_sample(sample: Samples, features: int, rows: int | None = None) -> str | None:
    """Why a received feature sample cannot be compared, or None if it can; ``rows`` is how many it
    has to have (None: two or more)."""
    if sample.ndim != 2 or sample.shape[1] != features:
        return f"has shape {sample.shape}, expected (n, {features})"
    if rows is not None and len(sample) != rows:
        return f"has {len(sample)} rows, expected {rows}"
    if len(sample) < 2:
        return f"has too few rows ({len(sample)}), needs at least 2"
    if not np.isfinite(sample).all():
        return "has values that are not finite"
    return None


@dataclass(frozen=True)
class Halves:
    """How far apart halves of samples are: what chance alone brings shows in halves of one device,
    and distances of small samples, which are too large by an amount that depends on their size, are
    compared with those of samples as small.

    Attributes:
        within: between the two halves of each device ``(devices,)``.
        between: mean between a half of one and a half of the other ``(devices, devices)``.
        nearest: the least of these four.
    """

    within: NDArray[np.float64]
    between: Matrix
    nearest: Matrix

    @classmethod
    def of(cls, samples: Sequence[Samples], distance: Distance = wasserstein) -> Halves:
        """Of even and odd rows. Of a device and itself both distances are 0."""
        halves, count = [(s[0::2], s[1::2]) for s in samples], len(samples)
        between, nearest = np.zeros((count, count)), np.zeros((count, count))
        for i in range(count):
            for j in range(i):
                found = [distance(a, b) for a in halves[i] for b in halves[j]]
                between[i, j] = between[j, i] = np.mean(found)
                nearest[i, j] = nearest[j, i] = min(found)
        return cls(np.array([distance(a, b) for a, b in halves]), between, nearest)

    @property
    def debiased(self) -> Matrix:
        """Distances ``(devices, devices)`` less what samples of one distribution would be apart,
        over what is usual for the two; not below 0. Ours: the literal zero diagonal makes every
        device look far more like itself than its twin.

        ``(between_ij - (within_i + within_j) / 2) / sqrt(usual_i usual_j)``, where what is usual
        for a device is the (lower) median of ``between`` over its peers. So a third device can
        change what is between two by their medians alone: of four or more, one that lies, whatever
        it says, moves these no farther than honest ones are apart.
        """
        count = len(self.within)
        if count == 1:
            return np.zeros((1, 1))
        off_diagonal = ~np.eye(count, dtype=bool)
        peers = self.between[off_diagonal].reshape(count, count - 1)
        usual = np.sqrt(np.quantile(peers, 0.5, axis=1, method="lower"))
        rest = self.between - (self.within[:, None] + self.within) / 2
        scale = np.outer(usual, usual)
        found = np.divide(rest, scale, out=np.zeros_like(rest), where=scale > 0)
        return np.where(off_diagonal, found.clip(0), 0)

    @property
    def copied(self) -> NDArray[np.bool_]:
        """Which devices show what another shows ``(devices, devices)``, themselves among them:
        halves that are nearer to each other than :data:`COPIED` of what those of one device are,
        which those of two honest ones are not."""
        found = self.nearest <= COPIED * np.minimum(self.within[:, None], self.within)
        np.fill_diagonal(found, True)
        return found


def similarity(matrix: Matrix) -> Matrix:
    """w_ij = 1 / (1 + distance_ij) (Eq. 19), in (0, 1]."""
    return 1 / (1 + matrix)
