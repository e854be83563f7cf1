"""Which round a device keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Scored(Protocol):
    """A round's outcome on the device's validation split."""

    @property
    def val_accuracy(self) -> float: ...
    @property
    def val_loss(self) -> float: ...
    @property
    def parameters(self) -> int: ...


def best_round(rounds: Sequence[Scored]) -> int:
    """Index of the round to ship: best validation accuracy, then fewer parameters, then lower
    loss. Round 0 is what the device received, so what it ships is never worse on validation."""
    return min(
        range(len(rounds)),
        key=lambda t: (-rounds[t].val_accuracy, rounds[t].parameters, rounds[t].val_loss),
    )
