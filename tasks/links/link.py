"""One way across a tier: :func:`send` checks a message's ends and its content against the declared
schema of its kind, keeps it as one content and counts its bytes; :func:`receive` reads it back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from models.versions import readable
from tasks.links.ends import tier_of
from tasks.links.kinds import Direction, Kind, declared
from tasks.run.errors import ArtifactError, LinkError
from tasks.run.store import Ref, decode, encode, put, read

VERSION = "version"
"""Under this name every message says by which version of its kind it was written."""


@dataclass(frozen=True)
class Route:
    """Who sends to whom, in which round; 0 is before the first."""

    sender: str
    receiver: str
    round: int = 0


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
    route: Route,
    tensors: Mapping[str, Tensor] | None = None,
    values: Mapping[str, Any] | None = None,
    kinds: Mapping[str, Kind] | None = None,
) -> Message:
    """Keep one message and return its ledger row.

    A message is safetensors whose metadata hold the JSON values, or JSON where there are no
    tensors.

    Args:
        kinds: those that may be sent; the system's.

    Raises:
        LinkError: the kind is not declared, is not for these ends, or breaks its schema; or a
            tensor that could be raw samples or labels is in a kind that is not declared to carry
            them.
    """
    of_kind = (declared() if kinds is None else kinds).get(kind)
    if of_kind is None:
        raise LinkError(
            f"{route.sender} -> {route.receiver}: message kind {kind!r} is not declared in KINDS"
        )
    where = f"{kind} from {route.sender} to {route.receiver}"
    _check_ends(where, of_kind, route)
    _check_values(where, of_kind, values or {})
    _check_tensors(where, of_kind, tensors or {})
    written = {**(values or {}), VERSION: of_kind.version}
    payload = encode(tensors, written) if tensors else json.dumps(written, sort_keys=True).encode()
    sha256 = put(kind, payload).sha256
    ends = (route.sender, route.receiver)
    return Message(kind, *ends, of_kind.direction, route.round, len(payload), sha256)


def receive(
    message: Message, kinds: Mapping[str, Kind] | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a message back: its tensors and its values.

    Raises:
        LinkError: the content is missing, damaged or not what was sent; it breaks its kind's
            schema; or it is of a newer version than this reader knows.
    """
    where = f"{message.kind} from {message.sender} to {message.receiver}"
    of_kind = (declared() if kinds is None else kinds).get(message.kind)
    if of_kind is None:
        raise LinkError(f"{where}: {message.receiver} knows no such kind of message")
    try:
        payload = read(message.content)
        tensors, values = ({}, json.loads(payload)) if payload[:1] == b"{" else decode(payload)
        readable("it", values, of_kind.version)
        values.pop(VERSION, None)
    except (ArtifactError, SafetensorError, ValueError, AttributeError, TypeError) as error:
        raise LinkError(f"{where}: {error}") from None
    _check_ends(where, of_kind, Route(message.sender, message.receiver))
    _check_values(where, of_kind, values)
    _check_tensors(where, of_kind, tensors)
    return tensors, values


def _check_ends(where: str, kind: Kind, route: Route) -> None:
    ends = (tier_of(route.sender), tier_of(route.receiver))
    if ends != (kind.sender, kind.receiver):
        raise LinkError(
            f"{where}: goes from {ends[0]} to {ends[1]}, declared from {kind.sender} to "
            f"{kind.receiver}"
        )


def _check_values(where: str, kind: Kind, values: Mapping[str, Any]) -> None:
    if set(values) != set(kind.values):
        raise LinkError(f"{where}: values {sorted(values)}, declared {sorted(kind.values)}")
    if kind.tensors is None:
        return  # a model's configuration: weights travel the same way
    for name, value in values.items():
        items = value if isinstance(value, list) else [value]
        if len(items) > 1024 or not all(isinstance(i, int | float | str) for i in items):
            raise LinkError(f"{where}: {name} must be a number, a text, or a short list of them")
        if any(isinstance(i, float) and not math.isfinite(i) for i in items):
            raise LinkError(f"{where}: {name} is not finite")


def _check_tensors(where: str, kind: Kind, tensors: Mapping[str, Tensor]) -> None:
    if kind.tensors is None:
        raw = [n for n, t in tensors.items() if t.dtype in (torch.uint8, torch.int8)]
        if raw:
            raise LinkError(f"{where}: {raw[0]} looks like raw data; weights are floating point")
        return
    needed = {name for name, schema in kind.tensors.items() if not schema.optional}
    if not needed <= set(tensors) <= set(kind.tensors):
        raise LinkError(f"{where}: tensors {sorted(tensors)}, declared {sorted(kind.tensors)}")
    for name, tensor in tensors.items():
        schema = kind.tensors[name]
        if tensor.dtype != schema.dtype or tensor.dim() != schema.dims:
            raise LinkError(
                f"{where}: {name} is {tensor.dtype} with {tensor.dim()} dimensions, "
                f"declared {schema.dtype} with {schema.dims}"
            )
        if tensor.numel() > schema.most:
            raise LinkError(f"{where}: {name} has {tensor.numel():,} values, most {schema.most:,}")
