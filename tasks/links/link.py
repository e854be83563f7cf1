"""One way across a tier: :func:`send` checks a message's ends and its content against the declared
schema of its kind, keeps it as one content and counts its bytes; :func:`receive` reads it back, as
what anybody may have written."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from models.versions import readable
from tasks.links.ends import is_name, tier_of
from tasks.links.kinds import Direction, Kind, declared
from tasks.run.errors import LinkError
from tasks.run.log import LOG
from tasks.run.store import Ref, Store, decode, encode, put

Content = tuple[dict[str, Tensor], dict[str, Any]]
"""A message's tensors and values."""

VERSION = "version"
"""Under this name every message says by which version of its kind it was written."""


SHA256 = re.compile("[0-9a-f]{64}")
LONGEST = 300  # characters of a reason: some of them are a stranger's


@dataclass(frozen=True)
class Route:
    """Who sends to whom, in which round (0 is before the first) of which run: the hash of the model
    that its devices received, or none before."""

    sender: str
    receiver: str
    round: int = 0
    run: str = ""


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
    run: str = ""

    @property
    def route(self) -> Route:
        """Its ends, round and run."""
        return Route(self.sender, self.receiver, self.round, self.run)

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
    return send_all(kind, [route], tensors, values, kinds)[0]


def send_all(
    kind: str,
    routes: Sequence[Route],
    tensors: Mapping[str, Tensor] | None = None,
    values: Mapping[str, Any] | None = None,
    kinds: Mapping[str, Kind] | None = None,
) -> list[Message]:
    """:func:`send` of the same on each of the routes: one content, a ledger row each."""
    tensors, values = tensors or {}, values or {}
    of_kind = (declared() if kinds is None else kinds).get(kind)
    called = _called(kind, routes[0])
    try:
        if of_kind is None:
            raise ValueError(f"message kind {kind!r} is not declared in KINDS")
        for route in routes:
            called = _called(kind, route)
            _check_route(of_kind, route)
        _check_values(of_kind, values)
        _check_tensors(of_kind, tensors, values)
        written = {**values, VERSION: of_kind.version}
        payload = (
            encode(tensors, written) if tensors else json.dumps(written, sort_keys=True).encode()
        )
        if len(payload) > of_kind.most_bytes:
            raise ValueError(f"{len(payload):,} bytes, most {of_kind.most_bytes:,}")
    except (ValueError, TypeError) as error:
        raise LinkError(f"{called}: {in_short(error)}") from None
    size, sha256 = len(payload), put(kind, payload).sha256
    return [
        Message(kind, r.sender, r.receiver, of_kind.direction, r.round, size, sha256, r.run)
        for r in routes
    ]


def receive(
    message: Message,
    kind: str | None = None,
    route: Route | None = None,
    kinds: Mapping[str, Kind] | None = None,
) -> Content:
    """Read a message back: its tensors and its values. All of it may be anybody's.

    Args:
        kind: the one that is expected; any.
        route: its ends, round and run, as expected; any that its kind may have.

    Raises:
        LinkError: it is not what is expected; its content is missing, damaged, no plain file or not
            what was sent; it breaks its kind's schema; or it is of a newer version than this reader
            knows.
    """
    known = declared() if kinds is None else kinds
    try:
        if message.kind not in known:
            raise ValueError(f"{message.receiver} knows no such kind of message")
        if kind is not None and message.kind != kind:
            raise ValueError(f"a {kind} is expected")
        of_kind = known[message.kind]
        if message.direction != of_kind.direction:
            raise ValueError(f"goes {message.direction}, declared {of_kind.direction}")
        _check_route(of_kind, message.route)
        if route is not None and message.route != route:
            raise ValueError(
                f"answered for {message.sender} to {message.receiver}, round {message.round}"
                f"{'' if message.run == route.run else ', of another run'}"
            )
        payload = _payload(message, of_kind.most_bytes)
        tensors, values = ({}, json.loads(payload)) if payload[:1] == b"{" else decode(payload)
        readable("it", values, of_kind.version)
        values.pop(VERSION, None)
        _check_values(of_kind, values)
        _check_tensors(of_kind, tensors, values)
    except Exception as error:  # a parser may raise anything for what a stranger wrote
        raise LinkError(f"{_called(message.kind, message)}: {in_short(error)}") from None
    return tensors, values


def each_readable(
    messages: Sequence[Message], kind: str, receiver: str
) -> Iterator[tuple[Message, Content]]:
    """Those of the messages to a receiver that can be read, of each sender one; who sent the others
    is named, and left out."""
    seen = set[str]()
    for message in messages:
        route = Route(message.sender, receiver, message.round, message.run)
        try:
            if message.sender in seen:
                raise LinkError(f"{in_short(message.sender)} sent more than one")
            content = receive(message, kind, route)
        except LinkError as error:
            leave_out(receiver, message.sender, error)
            continue
        seen.add(message.sender)
        yield message, content


def leave_out(receiver: str, sender: str, why: object, round: int = 0) -> None:
    """Say who is left out, and why: to who looks on, and to who asks later."""
    when = f"{receiver}, round {round}" if round else receiver
    words = f"{when}: {in_short(sender)} is left out: {in_short(why)}"
    print(words, file=sys.stderr)
    LOG.warning(words)


def in_short(words: object) -> str:
    """On one line, printable, and not too long: some of it may be a stranger's."""
    if isinstance(words, ValidationError):
        words = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in words.errors())
    if isinstance(words, OSError):
        words = words.strerror
    text = "".join(c if c.isprintable() else " " for c in str(words)[: 4 * LONGEST])
    return " ".join(text.split())[:LONGEST]


def _called(kind: object, ends: Route | Message) -> str:
    return in_short(f"{kind} from {ends.sender} to {ends.receiver}")


def _payload(message: Message, most: int) -> bytes:
    """A message's content, of which no more is read than the message says. A link or a pipe in its
    place is not followed, nor waited for."""
    size = message.bytes
    if not SHA256.fullmatch(message.sha256) or type(size) is not int or not 0 < size <= most:
        raise ValueError(f"no content of at most {most:,} bytes")
    store, ref = Store.here(), message.content
    path = store.path(ref)
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError(f"{path}: no plain file")
            payload = file.read(size + 1)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}. {store.redo(ref)}") from None
    if len(payload) != size or hashlib.sha256(payload).hexdigest() != message.sha256:
        raise ValueError(f"{path}: content changed since it was written. {store.redo(ref)}")
    return payload


def _check_route(kind: Kind, route: Route) -> None:
    for name in (route.sender, route.receiver):
        if not is_name(name):
            raise ValueError(f"{name!r} is no name: 1 to 64 letters, digits, - and _")
    ends = (tier_of(route.sender), tier_of(route.receiver))
    if ends != (kind.sender, kind.receiver):
        raise ValueError(
            f"goes from {ends[0]} to {ends[1]}, declared from {kind.sender} to {kind.receiver}"
        )
    if type(route.round) is not int or not 0 <= route.round < 1 << 31:
        raise ValueError(f"{route.round!r} is no round")
    if not isinstance(route.run, str) or (route.run and not SHA256.fullmatch(route.run)):
        raise ValueError(f"{route.run!r} is no run")


def _check_values(kind: Kind, values: Mapping[str, Any]) -> None:
    if not set(kind.values) <= set(values) <= {*kind.values, *kind.optional}:
        raise ValueError(f"values {sorted(values)}, declared {sorted(kind.values)}")
    kind.record.model_validate(values)


def _check_tensors(kind: Kind, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    if kind.tensors is None:
        for name, tensor in tensors.items():
            if len(name) > 256:
                raise ValueError(f"a tensor's name has {len(name)} characters")
            if tensor.dtype in (torch.uint8, torch.int8):
                raise ValueError(f"{name} looks like raw data; weights are floating point")
            if tensor.dtype.is_floating_point and not tensor.isfinite().all():
                raise ValueError(f"{name} has values that are not finite")
        return
    needed = {name for name, schema in kind.tensors.items() if not schema.optional}
    if not needed <= set(tensors) <= set(kind.tensors):
        raise ValueError(f"tensors {sorted(tensors)}, declared {sorted(kind.tensors)}")
    for name, tensor in tensors.items():
        if reason := kind.tensors[name].wrong(tensor):
            raise ValueError(f"{name} {reason}")
    if kind.agree and (reason := kind.agree(tensors, values)):
        raise ValueError(reason)
