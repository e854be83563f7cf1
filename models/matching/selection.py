"""Which variant a cluster gets: Eq. 13, and the three rules that the paper compares with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from models.matching.grid import Objectives, coordinates, pareto_front_grid


class NothingFitsError(ValueError):
    """No variant fits the storage limit of a cluster."""


@dataclass(frozen=True)
class Candidate:
    """A variant as a cluster sees it. ``parameters`` and ``flops`` are of the backbone with its
    reference header; ``energy_joule`` is modelled (Eq. 1), the largest among the devices."""

    width: float
    depth: int
    loss: float
    accuracy: float
    parameters: int
    energy_joule: float


@dataclass(frozen=True)
class Selection:
    """The outcome for one cluster; indices point into the candidates that were passed in."""

    chosen: int
    fitting: tuple[int, ...]
    front: tuple[int, ...]
    search_set: tuple[int, ...]


def objectives(candidates: Sequence[Candidate]) -> Objectives:
    """f_s of Eq. 10 as an array ``(candidates, 3)``."""
    return np.array([[c.loss, c.energy_joule, c.parameters] for c in candidates], dtype=np.float64)


def fitting(candidates: Sequence[Candidate], limit: int, cluster: str = "") -> list[int]:
    """Indices of the candidates with at most ``limit`` parameters (the truncated grid).

    Raises:
        NothingFitsError: no candidate fits; names the cluster, its limit and the smallest variant.
    """
    indices = [i for i, c in enumerate(candidates) if c.parameters <= limit]
    if not indices:
        smallest = min(candidates, key=lambda c: c.parameters)
        raise NothingFitsError(
            f"no variant fits cluster {cluster!r}: {limit:,} parameters are left for the backbone, "
            f"and the smallest variant (width {smallest.width}, depth {smallest.depth}) has "
            f"{smallest.parameters:,}. Raise the storage_limit of its smallest device, lower "
            "matching.header_budget, or add smaller backbone.widths or backbone.depths."
        )
    return indices


def pareto(
    candidates: Sequence[Candidate], indices: list[int], *, window: float, sigma: float
) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Eq. 13: in the performance cell of the best-loss member of the front, the member closest to
    the ideal point in grid coordinates. Ties: fewer parameters, then less energy."""
    f = objectives([candidates[i] for i in indices])
    psi = coordinates(f, window, sigma)
    front = pareto_front_grid(f, window, sigma)
    best = min(front, key=lambda i: tuple(f[i]))
    search = [i for i in front if psi[i, 0] == psi[best, 0]]
    ideal = psi.min(axis=0)

    def distance(i: int) -> tuple[float, float, float]:
        return float(np.linalg.norm(psi[i] - ideal)), f[i, 2], f[i, 1]

    chosen = min(search, key=distance)
    return (
        indices[chosen],
        tuple(indices[i] for i in front),
        tuple(indices[i] for i in search),
    )


def greedy_accuracy(candidates: Sequence[Candidate], indices: list[int]) -> int:
    """The fitting candidate with the highest validation accuracy; ties: fewer parameters."""
    return min(indices, key=lambda i: (-candidates[i].accuracy, candidates[i].parameters))


def greedy_size(candidates: Sequence[Candidate], indices: list[int]) -> int:
    """The largest fitting candidate; ties: higher accuracy."""
    return min(indices, key=lambda i: (-candidates[i].parameters, -candidates[i].accuracy))


METHODS = ("pareto", "greedy-accuracy", "greedy-size", "random")


def select(
    candidates: Sequence[Candidate],
    limit: int,
    *,
    method: str = "pareto",
    window: float = 0.1,
    sigma: float = 1e-6,
    seed: int = 0,
    cluster: str = "",
) -> Selection:
    """Choose one candidate of at most ``limit`` parameters for a cluster.

    Every method gets the front reported beside its choice, so that they can be compared.

    Raises:
        NothingFitsError: no candidate fits.
        ValueError: unknown method.
    """
    indices = fitting(candidates, limit, cluster)
    best, front, search = pareto(candidates, indices, window=window, sigma=sigma)
    others: dict[str, Callable[[], int]] = {
        "pareto": lambda: best,
        "greedy-accuracy": lambda: greedy_accuracy(candidates, indices),
        "greedy-size": lambda: greedy_size(candidates, indices),
        "random": lambda: int(np.random.default_rng(seed).choice(indices)),
    }
    if method not in others:
        raise ValueError(f"unknown matching method {method!r}: choose one of {', '.join(METHODS)}")
    return Selection(
        chosen=others[method](),
        fitting=tuple(indices),
        front=front,
        search_set=search,
    )
