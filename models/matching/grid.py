"""The Pareto front grid: Eq. 11, and the reading of Eq. 12 that docs/method.md gives."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

Objectives = NDArray[np.float64]
"""``(candidates, 3)``: validation loss, modelled energy in joule, parameters. All minimised."""
Coordinates = NDArray[np.int64]


def intervals(losses: NDArray[np.float64], window: float) -> int:
    """K of Sec. III-B2: how many performance windows lie between the best and worst loss (>= 1).

    The small allowance keeps a span of exactly K windows at K despite rounding.
    """
    span = float(np.max(losses) - np.min(losses))
    return max(1, math.ceil(span / window - 1e-9))


def coordinates(objectives: Objectives, window: float, sigma: float = 1e-6) -> Coordinates:
    """Grid coordinates Psi (Eq. 11), ``(candidates, 3)`` with values 1..K.

    The ideal and worst points are taken over the candidates given, so a truncated set (those that
    fit the cluster) spans its own grid. ``sigma`` is relative to each objective's span, because
    joules, parameters and nats differ by orders of magnitude.
    """
    count = intervals(objectives[:, 0], window)
    ideal = objectives.min(axis=0)
    span = objectives.max(axis=0) - ideal
    slack = sigma * np.where(span > 0, span, 1.0)
    edge = (span + 2 * slack) / count
    return np.ceil((objectives - ideal + slack) / edge).astype(np.int64).clip(1, count)


def grid_front(psi: Coordinates) -> list[int]:
    """Indices of the grid front (Eq. 12 as read here), ascending.

    For each objective and each combination of the *other* objectives' coordinates, the candidates
    with the smallest coordinate are kept; the front is the union over the objectives.
    """
    kept: set[int] = set()
    for objective in range(psi.shape[1]):
        cells: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, row in enumerate(np.delete(psi, objective, axis=1)):
            cells[tuple(row)].append(index)
        for members in cells.values():
            best = min(psi[m, objective] for m in members)
            kept.update(m for m in members if psi[m, objective] == best)
    return sorted(kept)


def dominates(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Whether ``a`` is nowhere worse than ``b`` and somewhere better (all minimised)."""
    return bool(np.all(a <= b) and np.any(a < b))


def pareto_front_grid(objectives: Objectives, window: float, sigma: float = 1e-6) -> list[int]:
    """Indices of the truncated Pareto front grid, without dominated members, ascending."""
    front = grid_front(coordinates(objectives, window, sigma))
    return [i for i in front if not any(dominates(objectives[j], objectives[i]) for j in front)]
