"""Which variant a cluster gets, of those that fit it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.choices import chosen
from models.matching.candidates import Candidate, Offer
from models.matching.grid import Objectives, coordinates, pareto_front_grid
from models.matching.recipe import Choice
from models.matching.rules import RULES


class NothingFitsError(ValueError):
    """No variant fits the storage limit of a cluster."""


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
            f"no variant fits cluster {cluster!r}: {max(limit, 0):,} parameters are left for the "
            f"backbone, and the smallest variant (width {smallest.width}, depth {smallest.depth}) "
            f"has {smallest.parameters:,}. Raise the storage_limit of its smallest device, lower "
            "matching.header_budget, or add smaller backbone.widths or backbone.depths."
        )
    return indices


def select(
    candidates: Sequence[Candidate],
    limit: int,
    recipe: Choice,
    *,
    seed: int = 0,
    cluster: str = "",
) -> Selection:
    """Choose one candidate of at most ``limit`` parameters for a cluster.

    The search set is the performance cell of the front's best-loss member. Every rule gets the
    front reported beside its choice, so that they can be compared.

    Raises:
        NothingFitsError: no candidate fits.
        ValueError: unknown method.
    """
    rule = chosen("method", recipe.method, RULES)
    indices = fitting(candidates, limit, cluster)
    offered = [candidates[i] for i in indices]
    f, window = objectives(offered), recipe.performance_window
    psi, front = coordinates(f, window), pareto_front_grid(f, window)
    best = min(front, key=lambda i: tuple(f[i]))
    search_set = [i for i in front if psi[i, 0] == psi[best, 0]]
    return Selection(
        chosen=indices[rule(Offer(offered, psi, search_set, seed))],
        fitting=tuple(indices),
        front=tuple(indices[i] for i in front),
        search_set=tuple(indices[i] for i in search_set),
    )
