"""What an exchange between devices is.

An exchange says what a device sends of its state, what the edge makes of what it got, and what a
device does with what comes back. Pruning is a step apart: an exchange may say by what to rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from models.header.split import Split
from models.refinement.basis import Basis
from models.refinement.similarity import Matrix

Body = Mapping[str, Tensor]
"""What is sent, by the names that its kind of message declares."""


@dataclass(frozen=True)
class TensorSchema:
    """What one tensor of a message may be: dtype, number of dimensions, most values, and the range
    that they lie in (always a finite one). One that is optional may be missing."""

    dtype: torch.dtype
    dims: int
    most: int
    optional: bool = False
    low: float = -math.inf
    high: float = math.inf

    def wrong(self, tensor: Tensor) -> str | None:
        """Why a tensor is none of these, if it is not."""
        if tensor.dtype != self.dtype or tensor.dim() != self.dims:
            return (
                f"is {tensor.dtype} with {tensor.dim()} dimensions, declared {self.dtype} with "
                f"{self.dims}"
            )
        if max(tensor.numel(), *tensor.shape) > self.most:
            return f"has {tensor.numel():,} values, most {self.most:,}"
        if tensor.dtype.is_floating_point and not tensor.isfinite().all():
            return "has values that are not finite"
        if tensor.numel() and not (self.low <= tensor.min() and tensor.max() <= self.high):
            return f"has values outside {self.low:g} to {self.high:g}"
        return None


@dataclass(frozen=True)
class Parcel:
    """What carries an exchange over the link: a kind of message of its own, and its tensors."""

    kind: str
    tensors: Mapping[str, TensorSchema]


@dataclass(frozen=True)
class Received:
    """What all devices of a cluster received, as far as an exchange needs it.

    Attributes:
        header: its parameters, in the module's order.
        neurons: how many it has that may be pruned.
        classes: how many it tells apart.
        basis: in which devices describe their data; None where the exchange has no use for one.
    """

    header: Mapping[str, Tensor]
    neurons: int
    classes: int
    basis: Basis | None = None


@dataclass(frozen=True)
class DeviceState:
    """A device after its local steps.

    Attributes:
        header: at full shape, masked.
        importance: its own set ``(neurons,)``, Eq. 18.
        received: what it was sent before the first round.
        data: its train samples.
        kept: what the exchange keeps on the device from round to round.
        ranking: by which it will prune ``(neurons,)``; None: it keeps its neurons this round.
    """

    header: nn.Module
    importance: Tensor
    received: Received
    data: Split
    kept: Body = field(default_factory=dict)
    ranking: Tensor | None = None


WITHHELD = "withheld"
"""Under this name a device keeps the classes of which it tells nothing, having too few samples."""

Weighed = tuple[Matrix, Matrix]
"""How far apart devices are, and who listens to whom (rows summing to 1, the own weight among
them), both ``(devices, devices)``."""


@dataclass(frozen=True)
class Exchange:
    """One kind of exchange.

    Attributes:
        up, down: what carries it; None where nothing is sent.
        keeps: the kinds of what devices sent that an edge keeps, to refine one of them again
            without its peers.
        reveals: what a body tells of the device's data, for a person.
        prepare: a device's state -> what it sends, and what it keeps of that for the next round.
        check: why a received body cannot be used beside what all received, or None.
        combine: the usable bodies and who listens to whom ``(devices, devices)``, rows summing
            to 1 -> what each of them gets back.
        apply: a device's state and what it got (None: nothing) -> its state.
        weigh: the bodies -> who listens to whom, where they tell that themselves (None: as before);
            without it, Eq. 19 and 20 on sketches do.
        beside: what a device keeps, and its own samples -> samples of peers' classes, virtual ones,
            that it learns from beside these; None: peers told it nothing.
        rounds: in which something is sent.
        tunes: whether devices tune after what came: where it is headers, that forgets them.
        prunes: whether they discard neurons in every round, by what came, and not once all is done.
    """

    up: Parcel | None
    down: Parcel | None
    keeps: tuple[str, ...]
    reveals: str
    prepare: Callable[[DeviceState], tuple[Body, Body]]
    check: Callable[[Body, Received], str | None]
    combine: Callable[[Sequence[Body], Matrix], list[Body]]
    apply: Callable[[DeviceState, Body | None], DeviceState]
    weigh: Callable[[Sequence[Body], Received], Weighed | None] | None = None
    beside: Callable[[Body, Basis, Split, torch.Generator], Split | None] | None = None
    rounds: Literal["first", "every"] = "every"
    tunes: bool = True
    prunes: bool = False

    def says_something(self, round: int) -> bool:
        """Whether devices send something in a round."""
        return self.up is not None and (self.rounds == "every" or round == 1)
