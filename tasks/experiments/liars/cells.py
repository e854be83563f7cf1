"""Lies: what a device may say in place of what it should, within what its kinds of messages
admit, since the edge refuses all else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from models.refinement.exchange import TensorSchema
from tasks.links.kinds import declared
from tasks.links.link import Message, receive, send

HUGE = 1e6
SAYS = ("features", "importance", "differences", "scales", "means")
"""What a lie is told in, by its name in a message; what tells of its size or form stays right."""


def inverted(values: Tensor, schema: TensorSchema) -> Tensor:
    """The contrary: where nothing is below 0, the largest becomes the smallest."""
    return values.max() - values if schema.low >= 0 and values.numel() else -values


def huge(values: Tensor, schema: TensorSchema) -> Tensor:
    """A million times as much, or as much as there may be."""
    return (values.double() * HUGE).clamp(schema.low, schema.high).to(values.dtype)


def constant(values: Tensor, schema: TensorSchema) -> Tensor:
    """Always the largest value that there may be."""
    return torch.full_like(values, schema.high)


LIES: dict[str, Callable[[Tensor, TensorSchema], Tensor]] = {
    "inverted": inverted,
    "x 1e6": huge,
    "constant": constant,
}
COPIED = "copied"
"""The lie that is another device's truth."""


def lied(message: Message, others: Sequence[Message], lie: str) -> Message:
    """A message as a liar would send it; ``others`` are what its peers say. Scores stay as they
    are: nobody learns from them."""
    schemas = declared()[message.kind].tensors
    if not schemas:
        return message
    if lie == COPIED:
        of_kind = next(m for m in others if m.kind == message.kind)
        tensors = receive(of_kind, message.kind)[0]
    else:
        told = receive(message, message.kind)[0]
        tensors = {name: _told(name, part, schemas[name], lie) for name, part in told.items()}
    return send(message.kind, message.route, tensors)


def _told(name: str, values: Tensor, schema: TensorSchema, lie: str) -> Tensor:
    if name not in SAYS or (name == "scales" and lie == "inverted"):
        return values
    found = LIES[lie](values, schema)
    # a set is shares, and another one is refused
    return found / found.sum() if name == "importance" else found
