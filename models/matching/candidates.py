"""What a rule of selection chooses among."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.matching.grid import Coordinates


@dataclass(frozen=True)
class Candidate:
    """A variant as a cluster sees it. ``parameters`` are of the backbone with its
    reference header; ``energy_joule`` is modelled (Eq. 1), the largest among the devices."""

    width: float
    depth: int
    loss: float
    accuracy: float
    parameters: int
    energy_joule: float


@dataclass(frozen=True)
class Offer:
    """What a rule chooses among: ``candidates`` that fit, their grid coordinates ``psi`` (Eq. 11),
    and the indices of those in the search set of Eq. 13. ``seed`` is for rules that draw."""

    candidates: Sequence[Candidate]
    psi: Coordinates
    search_set: Sequence[int]
    seed: int


Rule = Callable[[Offer], int]
"""The index of the candidate that a cluster gets."""
