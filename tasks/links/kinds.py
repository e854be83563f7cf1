"""The kinds of messages: who may send what to whom, and what each may hold. What neither
:data:`KINDS` nor an exchange declares cannot be sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from types import MappingProxyType
from typing import Annotated, Any, Literal

import torch
from annotated_types import Interval, Len
from pydantic import BaseModel, ConfigDict, Field, create_model
from torch import Tensor

from models.refinement.exchange import TensorSchema
from models.refinement.exchanges import EXCHANGES
from tasks.links.ends import NAME, Tier

Direction = Literal["up", "down"]
HEIGHT = {"device": 0, "edge": 1, "cloud": 2}
WEIGHTS, WORDS = 1 << 34, 1 << 18  # bytes: of a model; of names and JSON values
STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)  # true is no number
Parcels = Mapping[str, Tensor]
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """A declared kind of message.

    Attributes:
        sender, receiver: the tiers it may travel between.
        tensors: schema by tensor name; None admits any finite floating or index tensors (model
            weights).
        values: the JSON values by name: each a type with its range.
        agree: why tensors and values do not go together, or None; each alone is in its range.
        raw: carries raw samples or labels; only kinds that say so may.
        version: of what is written now; a reader refuses what is newer than it knows.
        optional: further values, which may be missing: an older sender knows none of them.
    """

    sender: Tier
    receiver: Tier
    tensors: Mapping[str, TensorSchema] | None = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    agree: Callable[[Parcels, Values], str | None] | None = None
    raw: bool = False
    version: int = 1
    optional: Mapping[str, Any] = field(default_factory=dict)

    @property
    def direction(self) -> Direction:
        return "up" if HEIGHT[self.sender] < HEIGHT[self.receiver] else "down"

    @property
    def most_bytes(self) -> int:
        """What a message may weigh."""
        if self.tensors is None:
            return WEIGHTS
        return WORDS + sum(s.most * s.dtype.itemsize for s in self.tensors.values())

    @cached_property
    def record(self) -> type[BaseModel]:
        """The JSON values, to be validated."""
        named: dict[str, Any] = {name: (of, ...) for name, of in self.values.items()}
        named |= {name: (of, NOT_TOLD) for name, of in self.optional.items()}
        return create_model("values", __config__=STRICT, **named)


NOT_TOLD = None
"""The default of a value that is missing; None itself is refused where it is told."""
Limit = Annotated[int, Interval(ge=1, le=1 << 40)]  # parameters
Watt = Annotated[float, Interval(gt=0, le=1e9)]
Seconds = Annotated[float, Interval(gt=0, le=1e9)]
Rows = Annotated[int, Interval(ge=1, le=1 << 20)]  # of a table of words
Several = Len(1, 1024)
Config = dict[str, Any]  # validated by whoever builds a module of it

RAW = {  # either images or texts
    "images": TensorSchema(torch.uint8, 4, 1 << 32, optional=True),
    "tokens": TensorSchema(torch.int32, 2, 1 << 28, low=0, optional=True),
    "labels": TensorSchema(torch.int16, 1, 1 << 24, low=0),
}
TRAIN_COUNT = {"train_count": Annotated[int, Interval(ge=0, le=1 << 24)]}


def samples_agree(tensors: Parcels, values: Values) -> str | None:
    """Images or texts, as many as labels, of which no more are for training."""
    names = [name for name in ("images", "tokens") if name in tensors]
    if len(names) != 1:
        return f"it has {' and '.join(names) or 'neither images nor tokens'}, needs one"
    samples, labels, train = len(tensors[names[0]]), len(tensors["labels"]), values["train_count"]
    if samples == labels and train <= labels:
        return None
    return f"{samples} {names[0]}, {labels} labels and a train_count of {train} do not go together"


def devices_agree(tensors: Parcels, values: Values) -> str | None:
    """A value for each device."""
    counts = {len(values[n]) for n in ("devices", "gpu_capacity_watt", "base_latency_s")}
    return None if len(counts) == 1 else f"lists of {sorted(counts)} values, needs one a device"


def features_agree(tensors: Parcels, values: Values) -> str | None:
    """As many features as labels, and a mask for each."""
    for split in ("", "val_"):
        features, labels = tensors[f"{split}features"], tensors[f"{split}labels"]
        mask = tensors.get(f"{split}mask")
        if len(features) != len(labels):
            return f"{len(features)} {split}features for {len(labels)} labels"
        if mask is not None and mask.shape != (len(features), features.shape[2]):
            return f"{split}mask is {tuple(mask.shape)} for features {tuple(features.shape)}"
    return None


KINDS: dict[str, Kind] = {
    # what goes up
    "device_attributes": Kind(
        "device",
        "edge",
        values={"storage_limit": Limit, "gpu_capacity_watt": Watt, "base_latency_s": Seconds},
        optional={"vocabulary": Rows},
    ),
    "cluster_statistics": Kind(
        "edge",
        "cloud",
        values={
            "storage_limit": Limit,
            "gpu_capacity_watt": Annotated[list[Watt], Several],
            "base_latency_s": Annotated[list[Seconds], Several],
            "devices": Annotated[list[Annotated[str, Field(pattern=NAME)]], Several],
        },
        optional={"vocabulary": Rows},
        agree=devices_agree,
    ),
    "feature_sketch": Kind(
        "device",
        "edge",
        # standardised: of public data, hardly one in a million is beyond 5
        {"features": TensorSchema(torch.float16, 2, 1 << 17, low=-100, high=100)},
    ),
    "metrics": Kind(
        "device",
        "edge",
        values={
            "val_loss": Annotated[float, Interval(ge=0, le=1e9)],
            "val_accuracy": Annotated[float, Interval(ge=0, le=1)],
            "parameters": Limit,
        },
    ),
    "receipt": Kind(
        "device",
        "edge",
        values={
            "ships": Literal["received", "peers", "alone", "pruned"],
            "gained": Annotated[list[Annotated[float, Interval(ge=-1, le=1)]], Len(0, 1024)],
            "val_accuracy": Annotated[float, Interval(ge=0, le=1)],
            "parameters": Limit,
        },
    ),
    "shared_samples": Kind("device", "edge", RAW, TRAIN_COUNT, samples_agree, raw=True),
    # what goes down
    "backbone": Kind("cloud", "edge", tensors=None, values={"config": Config}),
    "public_features": Kind(
        "cloud",
        "edge",
        {
            "features": TensorSchema(torch.float16, 4, 1 << 34),
            "labels": TensorSchema(torch.int16, 1, 1 << 24, low=0),
            "mask": TensorSchema(torch.bool, 2, 1 << 32, optional=True),
            "val_features": TensorSchema(torch.float16, 4, 1 << 34),
            "val_labels": TensorSchema(torch.int16, 1, 1 << 24, low=0),
            "val_mask": TensorSchema(torch.bool, 2, 1 << 32, optional=True),
        },
        agree=features_agree,
    ),
    "customized_model": Kind("edge", "device", tensors=None, values={"config": Config}),
}
"""All but those of :data:`models.refinement.exchanges.EXCHANGES`."""


@cache
def declared() -> Mapping[str, Kind]:
    """Every kind of the system, those of the exchanges too."""
    kinds = dict(KINDS)
    for exchange in EXCHANGES.values():
        if exchange.up:
            kinds[exchange.up.kind] = Kind("device", "edge", exchange.up.tensors)
        if exchange.down:
            kinds[exchange.down.kind] = Kind("edge", "device", exchange.down.tensors)
    return MappingProxyType(kinds)


@dataclass(frozen=True)
class Question:
    """What an edge may ask a device: ``down``, the kinds of which one may go along, and ``up``,
    those that an answer may hold, one each: ``least`` so many."""

    down: frozenset[str] = frozenset()
    up: frozenset[str] = frozenset()
    least: int = 1


def questions() -> dict[str, Question]:
    """In the order in which they are asked; ``train`` and ``prune`` once a round, and what they
    carry is the exchange's."""
    up = frozenset(e.up.kind for e in EXCHANGES.values() if e.up)
    down = frozenset(e.down.kind for e in EXCHANGES.values() if e.down)
    return {
        "attributes": Question(up=frozenset({"device_attributes"})),
        "share": Question(up=frozenset({"shared_samples"}), least=0),  # who shares nothing
        "adopt": Question(frozenset({"customized_model"}), frozenset({"metrics"})),
        "sketch": Question(up=frozenset({"feature_sketch"}), least=0),  # who has too few samples
        "train": Question(up=up, least=0),  # where nothing is exchanged, or it would not pay
        "prune": Question(down, frozenset({"metrics"})),
        "finish": Question(up=frozenset({"receipt"})),
    }
