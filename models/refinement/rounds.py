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
    gives to each one's class."""

    @property
    def share(self) -> Tensor: ...


class Flagged(Protocol):
    @property
    def ships(self) -> bool: ...


C = TypeVar("C", bound=Candidate)


def choose(received: C, refined: C, alone: C | None = None) -> C:
    """The model to ship: what was ``refined`` with peers, or ``alone`` where that is told to be
    better; but what was ``received`` where it does no worse on the mean.

    What peers say helps where it is heard at all, so that few samples do not speak against it; a
    peer that lies costs enough to be told. To ask for as much of what is held against the received
    model would cost devices with few samples to judge by most of what their peers gain them
    (docs/exchange.md). Shares tell models apart by far fewer samples than counts of right answers
    do, of which a device with 15 samples to judge by needs four more.
    """
    best = alone if alone is not None and is_better(alone, refined) else refined
    return best if best.share.mean() > received.share.mean() else received


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
