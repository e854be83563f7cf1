"""What devices tell each other: the registry of exchanges.

An exchange says what a device sends of its state, what the edge makes of what it got, and what a
device does with what comes back. Pruning is a step apart: an exchange may say by what to rank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from models.refinement.aggregation import aggregate, check_set
from models.refinement.similarity import Matrix

Body = Mapping[str, Tensor]
"""What is sent, by the names that its kind of message declares."""


@dataclass(frozen=True)
class TensorSchema:
    """What one tensor of a message may be: dtype, number of dimensions, and most values."""

    dtype: torch.dtype
    dims: int
    most: int


@dataclass(frozen=True)
class Parcel:
    """What carries an exchange over the link: a kind of message of its own, and its tensors."""

    kind: str
    tensors: Mapping[str, TensorSchema]


@dataclass(frozen=True)
class DeviceState:
    """A device after its local steps.

    Attributes:
        header: at full shape, masked.
        importance: its own set ``(neurons,)``, Eq. 18.
        ranking: by which it will prune ``(neurons,)``; None: it keeps its neurons this round.
    """

    header: nn.Module
    importance: Tensor
    ranking: Tensor | None = None


@dataclass(frozen=True)
class Exchange:
    """One kind of exchange.

    Attributes:
        up, down: what carries it; None where nothing is sent.
        keeps: the kinds of what devices sent that an edge keeps, to refine one of them again
            without its peers.
        reveals: what a body tells of the device's data, for a person.
        prepare: a device's state -> what it sends.
        check: why a received body cannot be used beside a header of so many neurons, or None.
        combine: the usable bodies and who listens to whom ``(devices, devices)``, rows summing
            to 1 -> what each of them gets back.
        apply: a device's state and what it got (None: nothing) -> its state.
    """

    up: Parcel | None
    down: Parcel | None
    keeps: tuple[str, ...]
    reveals: str
    prepare: Callable[[DeviceState], Body]
    check: Callable[[Body, int], str | None]
    combine: Callable[[Sequence[Body], Matrix], list[Body]]
    apply: Callable[[DeviceState, Body | None], DeviceState]


def _own_set(state: DeviceState) -> Body:
    return {"importance": state.importance}


def _check_set(body: Body, neurons: int) -> str | None:
    return check_set(body["importance"].numpy(), neurons)


def _mixed_sets(bodies: Sequence[Body], weights: Matrix) -> list[Body]:
    """Eq. 21."""
    mixed = aggregate(np.stack([body["importance"].numpy() for body in bodies]), weights)
    return [{"importance": torch.from_numpy(row).float()} for row in mixed]


def _rank_by(state: DeviceState, body: Body | None) -> DeviceState:
    return replace(state, ranking=None if body is None else body["importance"])


def _rank_alone(state: DeviceState, body: Body | None) -> DeviceState:
    return replace(state, ranking=state.importance)


def _nothing(state: DeviceState) -> Body:
    return {}


def _unusable(body: Body, neurons: int) -> str | None:
    return "nothing is exchanged"


def _nobody(bodies: Sequence[Body], weights: Matrix) -> list[Body]:
    return []


SET = {"importance": TensorSchema(torch.float32, 1, 1 << 17)}
IMPORTANCE = Exchange(
    up=Parcel("importance_set", SET),
    down=Parcel("mixed_importance", SET),
    keeps=("importance_set",),
    reveals="how much each neuron of its header moves the loss on its data",
    prepare=_own_set,
    check=_check_set,
    combine=_mixed_sets,
    apply=_rank_by,
)
"""The paper's (Eq. 16-21): devices prune by the importance that alike devices see."""

NONE = Exchange(
    up=None,
    down=None,
    keeps=(),
    reveals="nothing",
    prepare=_nothing,
    check=_unusable,
    combine=_nobody,
    apply=_rank_alone,
)
"""Every device prunes by its own importance, and tells nobody."""

EXCHANGES: dict[str, Exchange] = {"importance": IMPORTANCE, "none": NONE}
