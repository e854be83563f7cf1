"""What devices tell each other: the registry of exchanges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from models.header.split import Split
from models.refinement import differences, peers, statistics
from models.refinement.aggregation import aggregate, check_set, nearest_peers
from models.refinement.basis import Basis
from models.refinement.exchange import (
    WITHHELD,
    Body,
    DeviceState,
    Exchange,
    Parcel,
    Received,
    TensorSchema,
    Weighed,
)
from models.refinement.similarity import Matrix
from models.refinement.statistics import Statistics

NOTHING: Body = {}
LEFT = "left"
"""What a device keeps of its differences: what rounding left out."""
OF_PEERS = {**statistics.SCHEMA, "variance": replace(statistics.SCHEMA["variance"], dims=2)}
OF_PEERS["classes"] = TensorSchema(torch.int16, 1, 1 << 10, low=0)
"""Statistics of several devices, one after the other: ``classes`` says of how many each tells."""


def _own_set(state: DeviceState) -> tuple[Body, Body]:
    return {"importance": state.importance}, NOTHING


def _check_set(body: Body, received: Received) -> str | None:
    return check_set(body["importance"].numpy(), received.neurons)


def _mixed_sets(bodies: Sequence[Body], weights: Matrix) -> list[Body]:
    """Eq. 21."""
    mixed = aggregate(np.stack([body["importance"].numpy() for body in bodies]), weights)
    return [{"importance": torch.from_numpy(row).float()} for row in mixed]


def _rank_by(state: DeviceState, body: Body | None) -> DeviceState:
    return replace(state, ranking=None if body is None else body["importance"])


def _as_it_is(state: DeviceState, body: Body | None = None) -> DeviceState:
    return state


def _nothing(state: DeviceState) -> tuple[Body, Body]:
    return NOTHING, NOTHING


def _unusable(body: Body, received: Received) -> str | None:
    return "nothing is exchanged"


def _nobody(bodies: Sequence[Body], weights: Matrix) -> list[Body]:
    return []


def _difference(state: DeviceState) -> tuple[Body, Body]:
    """The header less what was received, in 8 bits."""
    pairs = zip(state.header.parameters(), state.received.header.values(), strict=True)
    body, left = differences.packed([own.detach() - came for own, came in pairs], _left(state))
    return body, {LEFT: left}


def _left(state: DeviceState) -> Tensor | None:
    return state.kept.get(LEFT)


def _check_difference(body: Body, received: Received) -> str | None:
    return differences.check(body, [part.numel() for part in received.header.values()])


def _mixed_differences(bodies: Sequence[Body], weights: Matrix) -> list[Body]:
    listens = nearest_peers(weights)
    return [{"difference": row} for row in differences.mixed(bodies, listens)]


def _take(state: DeviceState, body: Body | None) -> DeviceState:
    """What was received, and the difference that came; without one the header stays."""
    if body is not None:
        received = parameters_to_vector(list(state.received.header.values()))
        vector_to_parameters(received + body["difference"], list(state.header.parameters()))
    return state


def _describe(state: DeviceState) -> tuple[Body, Body]:
    found, withheld = statistics.described(state.data, _basis_of(state.received))
    return found.body(), {WITHHELD: torch.tensor(withheld, dtype=torch.int64)}


def _check_statistics(body: Body, received: Received) -> str | None:
    return statistics.check(body, received.classes, _basis_of(received).rank)


def _of_peers(bodies: Sequence[Body], weights: Matrix) -> list[Body]:
    """What the peers told that a device listens to."""
    told, found = [Statistics.from_body(body) for body in bodies], list[Body]()
    for i, own in enumerate(told):
        heard = [told[j] for j in np.flatnonzero(weights[i]) if j != i]
        found.append(_joined([own.at(torch.arange(0)), *peers.bounded(own, heard)]))
    return found


def _joined(told: Sequence[Statistics]) -> Body:
    bodies = [each.body() for each in told]
    joined = {name: torch.cat([body[name] for body in bodies]) for name in ("labels", "counts")}
    joined["means"] = torch.cat([body["means"] for body in bodies])
    joined["variance"] = torch.stack([body["variance"] for body in bodies])
    joined["classes"] = torch.tensor([len(each.labels) for each in told], dtype=torch.int16)
    return joined


def _apart(joined: Body) -> list[Statistics]:
    """Inverse of :func:`_joined`."""
    sizes = joined["classes"].tolist()
    parts = {name: joined[name].split(sizes) for name in ("labels", "counts", "means")}
    return [
        Statistics.from_body(
            {name: part[i] for name, part in parts.items()} | {"variance": joined["variance"][i]}
        )
        for i in range(len(sizes))
    ]


def _keep(state: DeviceState, body: Body | None) -> DeviceState:
    """What came of peers' statistics is kept for all rounds to come."""
    if body is None:
        return state
    return replace(state, kept={**state.kept, **{name: body[name] for name in OF_PEERS}})


def _weigh(bodies: Sequence[Body], received: Received) -> Weighed | None:
    """Peers that see alike, and the device itself as one of them; told once, where all do."""
    if not all("means" in body for body in bodies):
        return None
    told = [Statistics.from_body(body) for body in bodies]
    listens = np.eye(len(told)) + (peers.alike(told, _basis_of(received)) > 0)
    return peers.apart(told), listens / listens.sum(1, keepdims=True)


def _virtual(kept: Body, basis: Basis, own: Split, stream: torch.Generator) -> Split | None:
    told = [each for each in _apart(kept) if len(each.labels)] if _heard(kept) else []
    return statistics.draw(told, basis, own, stream) if told else None


def _heard(kept: Body) -> bool:
    return "classes" in kept


def _tell(state: DeviceState) -> tuple[Body, Body]:
    """The difference, and statistics until peers' came back."""
    body, kept = _difference(state)
    if _heard(state.kept):
        return body, kept
    told, withheld = _describe(state)
    return {**body, **told}, {**kept, **withheld}


def _check_both(body: Body, received: Received) -> str | None:
    return _check_difference(body, received) or (
        _check_statistics(body, received) if "means" in body else None
    )


def _mixed_both(bodies: Sequence[Body], weights: Matrix) -> list[Body]:
    mixed = [{"difference": row} for row in differences.mixed(bodies, weights)]
    if not all("means" in body for body in bodies):
        return [*mixed]
    told = _of_peers(bodies, weights)
    return [{**mix, **tell} for mix, tell in zip(mixed, told, strict=True)]


def _take_and_keep(state: DeviceState, body: Body | None) -> DeviceState:
    state = _take(state, body)
    return _keep(state, body) if body is not None and "classes" in body else state


def _some_rounds(schema: Mapping[str, TensorSchema]) -> dict[str, TensorSchema]:
    return {name: replace(of, optional=True) for name, of in schema.items()}


def _basis_of(received: Received) -> Basis:
    if received.basis is None:
        raise ValueError("no basis was sent with the model")
    return received.basis


SET = {"importance": TensorSchema(torch.float32, 1, 1 << 17, low=0, high=1)}
MIXED = {"difference": TensorSchema(torch.float32, 1, 1 << 24, low=-1e6, high=1e6)}
IMPORTANCE = Exchange(
    up=Parcel("importance_set", SET),
    down=Parcel("mixed_importance", SET),
    keeps=("importance_set",),
    reveals="how much each neuron of its header moves the loss on its data",
    prepare=_own_set,
    check=_check_set,
    combine=_mixed_sets,
    apply=_rank_by,
    prunes=True,
)
"""The paper's (Eq. 16-21): devices prune by the importance that alike devices see."""

WEIGHTS = Exchange(
    up=Parcel("header_difference", differences.SCHEMA),
    down=Parcel("mixed_difference", MIXED),
    keeps=("header_difference",),
    reveals="what its header learned from its data",
    prepare=_difference,
    check=_check_difference,
    combine=_mixed_differences,
    apply=_take,
    tunes=False,
)
"""Headers, as their differences to what all received, are averaged among alike devices."""

STATISTICS = Exchange(
    up=Parcel("class_statistics", statistics.SCHEMA),
    down=Parcel("peers_statistics", OF_PEERS),
    keeps=("class_statistics",),
    reveals="of each of its classes about how many samples it has, and their mean and variance",
    prepare=_describe,
    check=_check_statistics,
    combine=_of_peers,
    apply=_keep,
    weigh=_weigh,
    beside=_virtual,
    rounds="first",
)
"""What each class looks like: devices tune on virtual samples of alike devices beside their own."""

BOTH = Exchange(
    up=Parcel(
        "statistics_and_difference", {**differences.SCHEMA, **_some_rounds(statistics.SCHEMA)}
    ),
    down=Parcel("mixed_both", {**MIXED, **_some_rounds(OF_PEERS)}),
    keeps=("statistics_and_difference",),
    reveals=f"{WEIGHTS.reveals}; {STATISTICS.reveals}",
    prepare=_tell,
    check=_check_both,
    combine=_mixed_both,
    apply=_take_and_keep,
    weigh=_weigh,
    beside=_virtual,
)
"""Headers are averaged among those whose statistics are alike, and then tuned on virtual samples of
these beside their own."""

NONE = Exchange(
    up=None,
    down=None,
    keeps=(),
    reveals="nothing",
    prepare=_nothing,
    check=_unusable,
    combine=_nobody,
    apply=_as_it_is,
)
"""Every device trains and tunes by itself, and tells nobody."""

EXCHANGES: dict[str, Exchange] = {
    "importance": IMPORTANCE,
    "weights": WEIGHTS,
    "statistics": STATISTICS,
    "both": BOTH,
    "none": NONE,
}
