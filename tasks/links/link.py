"""One way across a tier: :func:`send` checks a message against the declared schema of its kind,
keeps it as one content and counts its bytes; :func:`receive` reads it back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tasks.links.kinds import KINDS, Direction, Kind
from tasks.run.errors import ArtifactError, LinkError
from tasks.run.store import Ref, decode, encode, put, read


@dataclass(frozen=True)
class Message:
    """A sent message: a row of the ledger, and the hash of its content."""

    kind: str
    sender: str
    receiver: str
    direction: Direction
    round: int
    bytes: int
    sha256: str

    @property
    def content(self) -> Ref:
        """What was sent, as the store knows it."""
        return Ref(self.kind, self.sha256)


def send(
    kind: str,
    *,
    sender: str,
    receiver: str,
    tensors: Mapping[str, Tensor] | None = None,
    values: Mapping[str, Any] | None = None,
    round: int = 0,
    kinds: Mapping[str, Kind] = KINDS,
) -> Message:
    """Keep one message and return its ledger row.

    A message is safetensors whose metadata hold the JSON values, or JSON where there are no
    tensors. ``round`` 0 is before the first round; ``kinds`` are those that the caller may send.

    Raises:
        LinkError: the kind is not declared among ``kinds``, or breaks its schema; or a tensor
            that could be raw samples or labels is in a kind that is not declared to carry them.
    """
    declared = kinds.get(kind)
    if declared is None:
        raise LinkError(f"{sender} -> {receiver}: message kind {kind!r} is not declared in KINDS")
    where = f"{kind} from {sender} to {receiver}"
    _check_values(where, declared, values or {})
    _check_tensors(where, declared, tensors or {})
    if tensors:
        payload = encode(tensors, values or {})
    else:
        payload = json.dumps(values, sort_keys=True).encode()
    sha256 = put(kind, payload).sha256
    return Message(kind, sender, receiver, declared.direction, round, len(payload), sha256)


def receive(message: Message) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a message back: its tensors and its values.

    Raises:
        LinkError: the content is missing or is not what was sent.
    """
    try:
        payload = read(message.content)
    except ArtifactError as error:
        raise LinkError(f"{message.kind} from {message.sender}: {error}") from None
    return ({}, json.loads(payload)) if payload.startswith(b"{") else decode(payload)


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
