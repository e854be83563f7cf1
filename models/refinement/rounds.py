"""Which of its models a device ships."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Protocol, TypeVar

from torch import Tensor

BEYOND = 1.0
"""Standard errors by which a model must do better to be told to be better."""


class Candidate(Protocol):
    """How a model does on the samples that it is judged by: the ``share`` ``(samples,)`` that it
    gives to each one's class, and how many ``parameters`` its header has."""

    @property
    def share(self) -> Tensor: ...
    @property
    def parameters(self) -> int: ...


class Flagged(Protocol):
    @property
    def ships(self) -> bool: ...


C = TypeVar("C", bound=Candidate)


def choose(received: C, others: Sequence[C]) -> C:
    """The model to ship: the one that gives the largest mean share to what is right, or, of equal
    ones, has the fewest parameters; but what was ``received`` where that is not told to be worse.

    Shares tell models apart by far fewer samples than counts of right answers do, of which a device
    with 15 samples to judge by needs four more.
    """
    best = min((received, *others), key=lambda c: (-c.share.mean().item(), c.parameters))
    return best if is_better(best, received) else received


def is_better(one: Candidate, other: Candidate) -> bool:
    """Whether ``one`` gives more to what is right by more than :data:`BEYOND` standard errors of
    the mean difference, sample by sample. By one sample nothing is told."""
    more = one.share - other.share
    if len(more) < 2:
        return False
    return more.mean().item() > BEYOND * more.std().item() / sqrt(len(more))


def shipped(states: Sequence[Flagged]) -> int:
    """Which of a device's states ships.

    Raises:
        ValueError: none does: the device has not finished.
    """
    for index, state in enumerate(states):
        if state.ships:
            return index
    raise ValueError("none of a device's states is said to ship")
