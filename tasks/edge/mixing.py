"""Who listens to whom, and the mixing of what devices send (Sec. III-D2, Eq. 19-21)."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from models.header.build import neurons, restore
from models.header.config import HeaderConfig
from models.refinement import aggregation, similarity
from models.refinement.exchange import Body
from models.refinement.exchanges import EXCHANGES
from models.refinement.mixers import mixing_weights
from models.refinement.recipe import Likeness
from tasks.links.link import Message, Route, receive, send
from tasks.links.records import Mixed, Mixing
from tasks.run.cached import cached, retried
from tasks.run.errors import LinkError


@cached("{edge}: compare the devices")
def compare(edge: str, devices: Sequence[str], sketches: list[Message], recipe: Likeness) -> Mixing:
    """Similarity of the devices' data (Eq. 19) and who listens to whom (Eq. 20).

    A device whose sketch is malformed or missing listens to itself alone, and nobody to it.
    """
    samples = {}
    for sketch in sketches:
        with suppress(LinkError):  # a malformed one is as none
            samples[sketch.sender] = receive(sketch)[0]["features"].float().numpy()
    width = statistics.mode(sample.shape[-1] for sample in samples.values()) if samples else 0
    usable = [
        i
        for i, device in enumerate(devices)
        if device in samples and similarity.check_sample(samples[device], width) is None
    ]
    distances, weights = np.zeros((len(devices),) * 2), np.eye(len(devices))
    if usable:
        among = np.ix_(usable, usable)
        compared = [samples[devices[i]] for i in usable]
        distances[among], weights[among] = mixing_weights(recipe, compared)
    return Mixing(edge, tuple(devices), _rows(distances), _rows(weights))


@retried("{mixing.edge}, round {round}: mix what devices sent")
def mix(
    round: int, sent: list[Message], mixing: Mixing, exchange: str, model: Message, quorum: float
) -> Mixed:
    """Eq. 21, or what the exchange has instead, over the devices that sent something well-formed;
    the others are left out and named. ``model`` is what all of them received.

    Raises:
        LinkError: fewer devices than the quorum sent something usable.
    """
    how, count = EXCHANGES[exchange], neurons_of(model)
    if how.down is None:
        return Mixed((), {})
    usable: dict[str, Body] = {}
    left_out = {device: "sent nothing" for device in mixing.devices}
    for message in sent:
        body, reason = _read(message, exchange, count)
        if body is not None:
            usable[message.sender] = body
            left_out.pop(message.sender, None)
        else:
            left_out[message.sender] = reason
    if len(usable) < quorum * len(mixing.devices):
        raise LinkError(
            f"{mixing.edge}, round {round}: {len(usable)} of {len(mixing.devices)} devices sent "
            f"what can be mixed, quorum is {quorum:.0%}. Left out: {left_out}"
        )
    present = [i for i, device in enumerate(mixing.devices) if device in usable]
    weights = aggregation.restrict(np.array(mixing.weights), present)
    mixed = how.combine([usable[mixing.devices[i]] for i in present], weights)
    messages = tuple(
        send(how.down.kind, Route(mixing.edge, mixing.devices[i], round), body)
        for i, body in zip(present, mixed, strict=True)
    )
    return Mixed(messages, left_out)


def neurons_of(model: Message) -> int:
    """How many neurons the header has that was sent down."""
    tensors, values = receive(model)
    prefix = "header."
    state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    header = restore(HeaderConfig.from_dict(values["config"]["header"]), state)
    return sum(neurons(header).values())


def _read(message: Message, exchange: str, neurons: int) -> tuple[Body | None, str]:
    """What a device sent, or why it cannot be used."""
    try:
        body = receive(message)[0]
        reason = EXCHANGES[exchange].check(body, neurons)
    except (LinkError, KeyError) as error:
        return None, str(error)
    return (body, "") if reason is None else (None, reason)


def _rows(matrix: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(x) for x in row) for row in matrix)
