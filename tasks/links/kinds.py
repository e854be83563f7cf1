"""The kinds of messages: who may send what to whom, and what each may hold. What neither
:data:`KINDS` nor an exchange declares cannot be sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch

from models.refinement.exchange import TensorSchema
from models.refinement.exchanges import EXCHANGES
from tasks.links.ends import Tier

Direction = Literal["up", "down"]
HEIGHT = {"device": 0, "edge": 1, "cloud": 2}


@dataclass(frozen=True)
class Kind:
    """A declared kind of message.

    Attributes:
        sender, receiver: the tiers it may travel between.
        tensors: schema by tensor name; None admits any floating or index tensors (model weights).
        values: names of the JSON values, each a number, a text, or a short list of them.
        raw: carries raw samples or labels; only kinds that say so may.
        version: of what is written now; a reader refuses what is newer than it knows.
    """

    sender: Tier
    receiver: Tier
    tensors: Mapping[str, TensorSchema] | None = field(default_factory=dict)
    values: frozenset[str] = frozenset()
    raw: bool = False
    version: int = 1

    @property
    def direction(self) -> Direction:
        return "up" if HEIGHT[self.sender] < HEIGHT[self.receiver] else "down"


RAW = {
    "images": TensorSchema(torch.uint8, 4, 1 << 40),
    "labels": TensorSchema(torch.int16, 1, 1 << 32),
}

KINDS: dict[str, Kind] = {
    # what goes up
    "device_attributes": Kind(
        "device",
        "edge",
        values=frozenset({"storage_limit", "gpu_capacity_watt", "base_latency_s"}),
    ),
    "cluster_statistics": Kind(
        "edge",
        "cloud",
        values=frozenset({"storage_limit", "gpu_capacity_watt", "base_latency_s", "devices"}),
    ),
    "feature_sketch": Kind("device", "edge", {"features": TensorSchema(torch.float16, 2, 1 << 17)}),
    "metrics": Kind("device", "edge", values=frozenset({"val_loss", "val_accuracy", "parameters"})),
    "shared_samples": Kind("device", "edge", RAW, values=frozenset({"train_count"}), raw=True),
    # what goes down
    "backbone": Kind("cloud", "edge", tensors=None, values=frozenset({"config"})),
    "public_features": Kind(
        "cloud",
        "edge",
        {
            "features": TensorSchema(torch.float16, 4, 1 << 40),
            "labels": TensorSchema(torch.int16, 1, 1 << 32),
            "mask": TensorSchema(torch.bool, 2, 1 << 32, optional=True),
            "val_features": TensorSchema(torch.float16, 4, 1 << 40),
            "val_labels": TensorSchema(torch.int16, 1, 1 << 32),
            "val_mask": TensorSchema(torch.bool, 2, 1 << 32, optional=True),
        },
    ),
    "customized_model": Kind("edge", "device", tensors=None, values=frozenset({"config"})),
}
"""All but those of :data:`models.refinement.exchanges.EXCHANGES`."""


def declared() -> dict[str, Kind]:
    """Every kind of the system, those of the exchanges too."""
    kinds = dict(KINDS)
    for exchange in EXCHANGES.values():
        if exchange.up:
            kinds[exchange.up.kind] = Kind("device", "edge", exchange.up.tensors)
        if exchange.down:
            kinds[exchange.down.kind] = Kind("edge", "device", exchange.down.tensors)
    return kinds


@dataclass(frozen=True)
class Question:
    """What an edge may ask a device: ``down``, the kinds of which one may go along, and ``up``,
    those that an answer may hold."""

    down: frozenset[str] = frozenset()
    up: frozenset[str] = frozenset()


def questions() -> dict[str, Question]:
    """In the order in which they are asked; the last two once a round, and what they carry is the
    exchange's."""
    up = frozenset(e.up.kind for e in EXCHANGES.values() if e.up)
    down = frozenset(e.down.kind for e in EXCHANGES.values() if e.down)
    return {
        "attributes": Question(up=frozenset({"device_attributes"})),
        "share": Question(up=frozenset({"shared_samples"})),
        "adopt": Question(frozenset({"customized_model"}), frozenset({"metrics"})),
        "sketch": Question(up=frozenset({"feature_sketch"})),
        "train": Question(up=up),
        "prune": Question(down, frozenset({"metrics"})),
    }
