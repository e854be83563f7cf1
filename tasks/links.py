"""The links between the tiers. Everything that crosses from one tier to another passes
:func:`send`, which checks it against the declared schema of its kind, writes it as one file and
counts that file's bytes. What is not declared in :data:`KINDS` cannot be sent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from torch import Tensor

from tasks.errors import LinkError
from tasks.store import WORK, decode, encode, put

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
        only_flow: the one flow that may send it.
    """

    sender: Tier
    receiver: Tier
    tensors: Mapping[str, TensorSchema] | None = field(default_factory=dict)
    values: frozenset[str] = frozenset()
    raw: bool = False
    only_flow: str | None = None

    @property
    def direction(self) -> Direction:
        return "up" if HEIGHT[self.sender] < HEIGHT[self.receiver] else "down"


_RAW = {
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
    "shared_samples": Kind("device", "edge", _RAW, values=frozenset({"train_count"}), raw=True),
    "central_upload": Kind(
        "device",
        "cloud",
        _RAW,
        values=frozenset({"train_count"}),
        raw=True,
        only_flow="centralised",
    ),
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


@dataclass(frozen=True)
class Message:
    """A sent message: a row of the ledger, and where its file lies."""

    kind: str
    sender: str
    receiver: str
    direction: Direction
    round: int
    bytes: int
    sha256: str
    path: str


def send(
    kind: str,
    *,
    sender: str,
    receiver: str,
    folder: Path = WORK / "messages",
    tensors: Mapping[str, Tensor] | None = None,
    values: Mapping[str, Any] | None = None,
    round: int = 0,
    flow: str = "customize",
) -> Message:
    """Write one message file below ``folder`` and return its ledger row.

    A message is one safetensors file whose metadata hold the JSON values, or one JSON file where
    there are no tensors. ``round`` 0 is before the first round.

    Raises:
        LinkError: the kind is not declared, not for this flow, or breaks its schema; or a tensor
            that could be raw samples or labels is in a kind that is not declared to carry them.
    """
    declared = KINDS.get(kind)
    if declared is None:
        raise LinkError(f"{sender} -> {receiver}: message kind {kind!r} is not declared in KINDS")
    where = f"{kind} from {sender} to {receiver}"
    if declared.only_flow not in (None, flow):
        raise LinkError(f"{where}: only the {declared.only_flow} flow may send it, not {flow}")
    _check_values(where, declared, values or {})
    _check_tensors(where, declared, tensors or {})
    name = f"{kind}/{sender}-to-{receiver}-{round}"
    if tensors:
        payload, suffix = encode(tensors, values or {}), "safetensors"
    else:
        payload, suffix = json.dumps(values, sort_keys=True).encode(), "json"
    file = put(folder, name, payload, suffix)
    return Message(
        kind, sender, receiver, declared.direction, round, len(payload), file.sha256, file.path
    )


def receive(message: Message) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a message back: its tensors and its values.

    Raises:
        LinkError: the file is missing or is not what was sent.
    """
    try:
        payload = Path(message.path).read_bytes()
    except OSError as error:
        raise LinkError(
            f"{message.kind} from {message.sender}: {message.path}: {error.strerror}"
        ) from None
    if hashlib.sha256(payload).hexdigest() != message.sha256:
        raise LinkError(f"{message.kind} from {message.sender}: {message.path} is damaged")
    if message.path.endswith(".json"):
        return {}, json.loads(payload)
    return decode(payload)


def _check_values(where: str, kind: Kind, values: Mapping[str, Any]) -> None:
    if set(values) != set(kind.values):
        raise LinkError(f"{where}: values {sorted(values)}, declared {sorted(kind.values)}")
    if kind.tensors is None:
        return  # a model's configuration: weights travel the same way
    for name, value in values.items():
        items = value if isinstance(value, list) else [value]
        if len(items) > 1024 or not all(isinstance(i, int | float | str) for i in items):
            raise LinkError(f"{where}: {name} must be a number, a text, or a short list of them")


def _check_tensors(where: str, kind: Kind, tensors: Mapping[str, Tensor]) -> None:
    if kind.tensors is None:
        raw = [n for n, t in tensors.items() if t.dtype in (torch.uint8, torch.int8)]
        if raw:
            raise LinkError(f"{where}: {raw[0]} looks like raw data; weights are floating point")
        return
    if set(tensors) != set(kind.tensors):
        raise LinkError(f"{where}: tensors {sorted(tensors)}, declared {sorted(kind.tensors)}")
    for name, tensor in tensors.items():
        declared = kind.tensors[name]
        if tensor.dtype != declared.dtype or tensor.dim() != declared.dims:
            raise LinkError(
                f"{where}: {name} is {tensor.dtype} with {tensor.dim()} dimensions, "
                f"declared {declared.dtype} with {declared.dims}"
            )
        if tensor.numel() > declared.most:
            raise LinkError(
                f"{where}: {name} has {tensor.numel():,} values, most {declared.most:,}"
            )


def write_ledger(path: Path, messages: Iterable[Message]) -> None:
    """Append ``messages`` to the ledger at ``path`` (parquet), each once.

    A stage that is resumed from its cache reports the same messages again; a message is the same
    when its kind, ends and round are, and the last report counts.
    """
    rows = pd.DataFrame([asdict(m) for m in messages]).drop(columns="path")
    if path.exists():
        rows = pd.concat([pd.read_parquet(path), rows])
    rows = rows.drop_duplicates(["kind", "sender", "receiver", "round"], keep="last")
    rows = rows.sort_values(["round", "kind", "sender", "receiver"], ignore_index=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    rows.to_parquet(partial, index=False)
    partial.replace(path)


def totals(ledgers: Sequence[Path], centralised_bytes: int) -> dict[str, float]:
    """The communication cost of the whole system.

    ``uplink_bytes`` leaves out the consented shared sets, which are ``shared_bytes``;
    ``centralised_bytes`` is what a centralised system would upload. All in bytes; ratios are to
    the centralised system's upload.
    """
    rows = pd.concat([pd.read_parquet(path) for path in ledgers])
    up = rows[(rows.direction == "up") & (rows.kind != "central_upload")]
    shared = int(up.loc[up.kind == "shared_samples", "bytes"].sum())
    uplink = int(up.bytes.sum()) - shared
    return {
        "uplink_bytes": uplink,
        "downlink_bytes": int(rows.loc[rows.direction == "down", "bytes"].sum()),
        "shared_bytes": shared,
        "centralised_bytes": centralised_bytes,
        "uplink_ratio": uplink / centralised_bytes,
        "uplink_ratio_with_shared": (uplink + shared) / centralised_bytes,
    }
