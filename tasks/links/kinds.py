"""The kinds of messages: who may send what to whom, and what each may hold. What is not declared
in :data:`KINDS` the pipeline cannot send; an experiment declares kinds of its own beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch

Tier = Literal["cloud", "edge", "device"]
Direction = Literal["up", "down"]
HEIGHT = {"device": 0, "edge": 1, "cloud": 2}


@dataclass(frozen=True)
class TensorSchema:
    """What one tensor of a message may be: dtype, number of dimensions, and largest size."""

    dtype: torch.dtype
    dims: int
    most: int


@dataclass(frozen=True)
class Kind:
    """A declared kind of message.

    Attributes:
        sender, receiver: the tiers it may travel between.
        tensors: schema by tensor name; None admits any floating or index tensors (model weights).
        values: names of the JSON values, each a number, a text, or a short list of them.
        raw: carries raw samples or labels; only kinds that say so may.
    """

    sender: Tier
    receiver: Tier
    tensors: Mapping[str, TensorSchema] | None = field(default_factory=dict)
    values: frozenset[str] = frozenset()
    raw: bool = False

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
    "importance_set": Kind(
        "device", "edge", {"importance": TensorSchema(torch.float32, 1, 1 << 17)}
    ),
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
            "val_features": TensorSchema(torch.float16, 4, 1 << 40),
            "val_labels": TensorSchema(torch.int16, 1, 1 << 32),
        },
    ),
    "customized_model": Kind("edge", "device", tensors=None, values=frozenset({"config"})),
    "mixed_importance": Kind(
        "edge", "device", {"importance": TensorSchema(torch.float32, 1, 1 << 17)}
    ),
}
