"""What devices tell each other: the registry of exchanges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from models.refinement.aggregation import aggregate, check_set
from models.refinement.exchange import Body, DeviceState, Exchange, Parcel, TensorSchema
from models.refinement.similarity import Matrix


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


SET = {"importance": TensorSchema(torch.float32, 1, 1 << 17, low=0, high=1)}
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
