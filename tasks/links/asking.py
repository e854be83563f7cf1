"""How an edge talks to its devices: it asks them all, and gets who answered what and who did not.

What carries questions and answers is the carrier's business; the edge's side is the same whether
its devices are files of this machine or hosts of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tasks.links.kinds import questions
from tasks.links.link import Message, receive
from tasks.run.errors import LinkError


@dataclass(frozen=True)
class Key:
    """What a question belongs to: with device and kind it is answered, and counted, once."""

    run: str
    round: int = 0


@dataclass(frozen=True)
class Ask:
    """One question of an edge to one device; ``kind`` is one of :func:`questions`."""

    kind: str
    device: str
    key: Key
    body: Message | None = None


Reply = tuple[Message, ...] | str
"""A device's messages, or why there are none."""


class Carrier(Protocol):
    """Brings questions of one kind to devices, and their answers back, one each, in order.

    Raises nothing for what a device does: a device that fails, or is later than ``deadline_s``
    seconds, is answered for by the words that say so.
    """

    def ask(self, asks: Sequence[Ask], deadline_s: float | None) -> list[Reply]: ...


@dataclass(frozen=True)
class Answers:
    """Who answered, by name and with what; who did not, and why."""

    messages: Mapping[str, tuple[Message, ...]]
    failed: Mapping[str, str]

    def of(self, kind: str) -> list[Message]:
        """All messages of a kind, in the order of the devices."""
        return [m for sent in self.messages.values() for m in sent if m.kind == kind]


class Link:
    """An edge's link to its devices. ``sent`` are all messages that went over it, each once."""

    def __init__(self, edge: str, carrier: Carrier) -> None:
        self.edge, self.carrier = edge, carrier
        self.sent: list[Message] = []
        self._answered: dict[tuple[Key, str, str], tuple[Message, ...]] = {}

    def ask_all(
        self,
        devices: Sequence[str],
        kind: str,
        bodies: Mapping[str, Message],
        key: Key,
        deadline_s: float | None = None,
        quorum: float = 1.0,
    ) -> Answers:
        """Ask these devices, each with its own of ``bodies`` or without one.

        A device that answered the same question of the same key before is not asked again. An
        answer that holds what was not asked for counts as none.

        Args:
            kind: one of :func:`questions`.
            deadline_s: seconds; who is later is left out.
            quorum: the share of the devices that must answer.

        Raises:
            LinkError: fewer did; names who did not, and why. Or a body is of a kind that does not
                go with the question.
        """
        asks = [
            Ask(kind, device, key, self._fitting(kind, bodies.get(device)))
            for device in devices
            if (key, device, kind) not in self._answered
        ]
        replies = self.carrier.ask(asks, deadline_s) if asks else []
        failed = {}
        for ask, reply in zip(asks, replies, strict=True):
            wrong = reply if isinstance(reply, str) else self._wrong(ask, reply)
            if wrong is not None or isinstance(reply, str):
                failed[ask.device] = str(wrong)
                continue
            self._answered[key, ask.device, kind] = reply
            self.sent += [*([ask.body] if ask.body else []), *reply]
        found = {d: self._answered.get((key, d, kind)) for d in devices}
        messages = {device: sent for device, sent in found.items() if sent is not None}
        if len(messages) < quorum * len(devices):
            said = "; ".join(f"{device}: {why}" for device, why in failed.items())
            raise LinkError(
                f"{self.edge}, round {key.round}, {kind}: {len(messages)} of {len(devices)} "
                f"devices answered, quorum is {quorum:.0%}. {said}"
            )
        return Answers(messages, failed)

    def _fitting(self, kind: str, body: Message | None) -> Message | None:
        if body is not None and body.kind not in questions()[kind].down:
            raise LinkError(f"{self.edge}: no {body.kind} goes with the question {kind!r}")
        return body

    def _wrong(self, ask: Ask, reply: tuple[Message, ...]) -> str | None:
        """Why an answer does not count, if it does not."""
        for message in reply:
            if message.kind not in questions()[ask.kind].up:
                return f"answered {ask.kind} with {message.kind}"
            ends = (message.sender, message.receiver, message.round)
            if ends != (ask.device, self.edge, ask.key.round):
                return f"answered for {ends[0]} to {ends[1]}, round {ends[2]}"
            try:
                receive(message)
            except LinkError as error:
                return str(error)
        return None
