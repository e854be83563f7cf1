"""Which of its models a device ships."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Protocol, TypeVar

from torch import Tensor

BEYOND = 1.0
"""Standard errors by which a model must do better than what was received to ship in its place."""


class Candidate(Protocol):
    """How a model does on the samples that it is judged by: which of them it gets ``right``
    ``(samples,)``, its mean ``loss``, and how many ``parameters`` its header has."""

    @property
    def right(self) -> Tensor: ...
    @property
    def loss(self) -> float: ...
    @property
    def parameters(self) -> int: ...


class Flagged(Protocol):
    @property
    def ships(self) -> bool: ...


C = TypeVar("C", bound=Candidate)


def choose(received: C, others: Sequence[C]) -> C:
    """The model to ship: the one that gets the most samples right, then has the fewest parameters,
    then the lowest loss; but what was ``received`` where that cannot be told to be worse."""
    best = min((received, *others), key=lambda c: (-int(c.right.sum()), c.parameters, c.loss))
    return best if is_better(best, received) else received


def is_better(one: Candidate, other: Candidate) -> bool:
    """Whether ``one`` gets more samples right than ``other`` by more than :data:`BEYOND` standard
    errors of that difference, which only the samples make that one alone of the two gets right
    (McNemar's)."""
    gained, lost = int((one.right & ~other.right).sum()), int((other.right & ~one.right).sum())
    return gained - lost > BEYOND * sqrt(gained + lost)


def shipped(states: Sequence[Flagged]) -> int:
    """Which of a device's states ships.

    Raises:
        ValueError: none does: the device has not finished.
    """
    for index, state in enumerate(states):
        if state.ships:
            return index
    raise ValueError("none of a device's states is said to ship")
