"""What devices get who listen to each other (Eq. 20-21)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.refinement.similarity import Matrix

SUM_TOLERANCE = 1e-2  # a set is shares (Eq. 18): one that is larger would outweigh all others


def row_weights(similar: Matrix, temperature: float = 1.0) -> Matrix:
    """Eq. 20: W_bar = sqrt(W * W^T) element-wise, then a softmax of each row.

    ``temperature`` 1 is the paper's formula; a smaller one tells devices apart more sharply.

    Raises:
        ValueError: the temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, not {temperature}")
    symmetric = np.sqrt(similar * similar.T)
    # the maximum goes before the division: a tiny temperature would make both infinite
    behind = symmetric - symmetric.max(axis=1, keepdims=True)
    with np.errstate(over="ignore"):
        exponential = np.exp(behind / temperature)
    return exponential / exponential.sum(axis=1, keepdims=True)


def restrict(weights: Matrix, present: Sequence[int]) -> Matrix:
    """The weights among the devices that are present, rows summing to 1 again.

    A device that gave all its weight to absent ones listens to itself.
    """
    rows = weights[np.ix_(present, present)]
    total = rows.sum(axis=1, keepdims=True)
    return np.divide(rows, total, out=np.eye(len(present)), where=total > 0)


def nearest_peers(weights: Matrix) -> Matrix:
    """Of mixing weights ``(devices, devices)`` whom each device hears as much as itself: the peers
    that have at least half of its largest weight for one, whatever it gives to itself.

    Eq. 20's self weight says how far apart two halves of its own data are, not how much a device
    has to learn: it leaves peers a tenth.
    """
    to_peers = np.array(weights, np.float64)
    np.fill_diagonal(to_peers, 0)
    heard = (to_peers > 0) & (to_peers >= to_peers.max(1, keepdims=True) / 2)
    listens = heard + np.eye(len(heard))
    found: Matrix = listens / listens.sum(1, keepdims=True)
    return found


def aggregate(sets: NDArray[np.floating], weights: Matrix) -> NDArray[np.floating]:
    """Eq. 21: Q'_n = sum_i w_ni Q_i, for sets ``(devices, neurons)``."""
    return weights @ sets


def check_set(values: NDArray[np.floating], neurons: int) -> str | None:
    """Why a received importance set cannot be used, or None if it can.

    The empty set of a header without prunable neurons is usable.
    """
    if values.shape != (neurons,):
        return f"has shape {values.shape}, expected ({neurons},)"
    if not np.issubdtype(values.dtype, np.floating):
        return f"holds {values.dtype}, expected floating-point numbers"
    if not np.isfinite(values).all():
        return "has values that are not finite"
    if (values < 0).any():
        return "has negative values"
    if neurons and not values.any():
        return "is all zero"
    if neurons and abs(values.sum() - 1) > SUM_TOLERANCE:
        return f"sums to {values.sum():.3g}, not to 1"
    return None
