"""How an edge talks to its devices: it asks them all, and gets who answered what and who did not.

What carries questions and answers is the carrier's business; the edge's side is the same whether
its devices are files of this machine or hosts of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from tasks.links.kinds import questions
from tasks.links.link import Content, Message, Route, in_short, leave_out, receive
from tasks.run.errors import LinkError


@dataclass(frozen=True)
class Key:
    """What a question belongs to: with device and kind it is answered, and counted, once. See
    :class:`tasks.links.link.Route`."""

    run: str = ""
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
Values = Mapping[str, Any]
Fits = Callable[[str, Mapping[str, Tensor]], str | None]
"""A kind and the tensors of a message -> why the edge cannot use them, or None."""


class Carrier(Protocol):
    """Brings questions of one kind to devices, and their answers back, one each, in order.

    Raises nothing for what a device does: a device that fails, or is later than ``deadline_s``
    seconds, is answered for by the words that say so.
    """

    def ask(self, asks: Sequence[Ask], deadline_s: float | None) -> list[Reply]: ...


@dataclass(frozen=True)
class Answers:
    """Who answered, by name and with what, and the values in it; who did not, and why."""

    messages: Mapping[str, tuple[Message, ...]]
    failed: Mapping[str, str]
    said: Mapping[str, Values]

    @classmethod
    def read(cls, messages: Mapping[str, tuple[Message, ...]]) -> Answers:
        """What devices answered earlier. Raises LinkError if one cannot be read."""
        said = {device: _values([receive(m) for m in sent]) for device, sent in messages.items()}
        return cls(messages, {}, said)

    def of(self, kind: str) -> list[Message]:
        """All messages of a kind, in the order of the devices."""
        return [m for sent in self.messages.values() for m in sent if m.kind == kind]


class Link:
    """An edge's link to its devices. ``sent`` are all messages that went over it, each once."""

    def __init__(self, edge: str, carrier: Carrier, fits: Fits | None = None) -> None:
        """``fits`` says why the edge cannot use what is otherwise well-formed, or None."""
        self.edge, self.carrier, self.fits = edge, carrier, fits
        self.sent: list[Message] = []
        self._answered: dict[tuple[Key, str, str], tuple[tuple[Message, ...], Values]] = {}

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
        answer that holds what was not asked for, or cannot be read, counts as none; who gave it is
        named.

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
            try:
                sent, said = self._checked(ask, reply)
            except Exception as error:  # whatever a device does is its own fault
                failed[ask.device] = in_short(error)
                leave_out(self.edge, ask.device, error, key.round)
                continue
            self._answered[key, ask.device, kind] = sent, said
            self.sent += [*([ask.body] if ask.body else []), *sent]
        found = {d: a for d in devices if (a := self._answered.get((key, d, kind))) is not None}
        if len(found) < quorum * len(devices):
            why = "; ".join(f"{device}: {why}" for device, why in failed.items())
            raise LinkError(
                f"{self.edge}, round {key.round}, {kind}: {len(found)} of {len(devices)} "
                f"devices answered, quorum is {quorum:.0%}. {why}"
            )
        messages = {device: sent for device, (sent, _) in found.items()}
        return Answers(messages, failed, {device: said for device, (_, said) in found.items()})

    def _fitting(self, kind: str, body: Message | None) -> Message | None:
        if body is not None and body.kind not in questions()[kind].down:
            raise LinkError(f"{self.edge}: no {body.kind} goes with the question {kind!r}")
        return body

    def _checked(self, ask: Ask, reply: Reply) -> tuple[tuple[Message, ...], Values]:
        """An answer and the values in it. Raises LinkError if it does not count, and says why."""
        if isinstance(reply, str):
            raise LinkError(reply)
        question, contents, kinds = questions()[ask.kind], [], set[str]()
        route = Route(ask.device, self.edge, ask.key.round, ask.key.run)
        for message in reply:
            if message.kind not in question.up - kinds:
                raise LinkError(f"answered {ask.kind} with {message.kind}")
            kinds.add(message.kind)
            tensors, values = receive(message, message.kind, route)
            if self.fits and (reason := self.fits(message.kind, tensors)):
                raise LinkError(f"{message.kind} {reason}")
            contents.append((tensors, values))
        if len(kinds) < question.least:
            raise LinkError(f"answered {ask.kind} with nothing")
        return reply, _values(contents)


def _values(contents: Sequence[Content]) -> Values:
    return {name: value for _, values in contents for name, value in values.items()}
