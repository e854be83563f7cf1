"""Who listens to whom, and the mixing of what devices send (Sec. III-D2, Eq. 19-21)."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np

from models.refinement import aggregation, similarity
from models.refinement.exchange import Body, Weighed
from models.refinement.exchanges import EXCHANGES
from models.refinement.mixers import mixing_weights
from models.refinement.recipe import Likeness
from models.refinement.sketches import SKETCHES
from tasks.edge.kept import SKETCH
from tasks.links.link import Message, Route, each_readable, in_short, leave_out, receive, send
from tasks.links.records import Mixed, Mixing, Sent
from tasks.links.sent import received_of
from tasks.run.cached import cached, retried
from tasks.run.errors import LinkError


@cached("{edge}: compare the devices")
def compare(edge: str, devices: Sequence[str], sketches: list[Message], recipe: Likeness) -> Mixing:
    """Similarity of the devices' data (Eq. 19) and who listens to whom (Eq. 20).

    A device whose sketch is malformed, of another kind than is asked for, or missing listens to
    itself alone, and nobody to it.
    """
    samples = {
        message.sender: tensors["features"].float().numpy()
        for message, (tensors, _) in each_readable(sketches, SKETCH, edge)
        if message.sender in devices
    }
    width = statistics.mode(sample.shape[-1] for sample in samples.values()) if samples else 0
    rows, usable = SKETCHES[recipe.sketch].rows, list[int]()
    for i, device in enumerate(devices):
        if device in samples:
            reason = similarity.check_sample(samples[device], width, rows)
            if reason is None:
                usable.append(i)
            else:
                leave_out(edge, device, f"its sketch {reason}")
    distances, weights = np.zeros((len(devices),) * 2), np.eye(len(devices))
    if usable:
        among = np.ix_(usable, usable)
        distances[among], weights[among] = mixing_weights(
            recipe, [samples[devices[i]] for i in usable]
        )
    return Mixing(edge, tuple(devices), _rows(distances), _rows(weights))


@retried("{mixing.edge}, round {sent.round}: mix what devices sent")
def mix(sent: Sent, mixing: Mixing, exchange: str, model: Message, quorum: float) -> Mixed:
    """Eq. 21, or what the exchange has instead, over the devices that sent something well-formed;
    the others are left out and named. ``model`` is what all of them received.

    Raises:
        LinkError: fewer devices than the quorum sent something usable.
    """
    how, received = EXCHANGES[exchange], received_of(model)
    if how.up is None or how.down is None:
        return Mixed((), {}, mixing)
    usable: dict[str, Body] = {}
    speak = [device for device in mixing.devices if device not in sent.silent]
    left_out = {device: "sent nothing" for device in speak}
    for message in (*sent.fresh, *sent.kept):
        name = in_short(message.sender)
        if message.sender in usable:
            continue  # it has sent its own: this one is in its name, or twice
        round = message.round if message in sent.kept else sent.round
        try:
            if message.sender not in mixing.devices:
                raise LinkError("is none of the cluster's devices")
            if round > sent.round:
                raise LinkError(f"kept of round {round}")
            route = Route(message.sender, mixing.edge, round, model.sha256)
            body, _ = receive(message, how.up.kind, route)
            if reason := how.check(body, received):
                raise LinkError(reason)
        except LinkError as error:
            left_out[name] = str(error)
            continue
        usable[message.sender] = body
        left_out.pop(message.sender, None)
    if len(usable) < quorum * len(speak):
        raise LinkError(
            f"{mixing.edge}, round {sent.round}: {len(usable)} of {len(speak)} devices "
            f"sent what can be mixed, quorum is {quorum:.0%}. Left out: {left_out}"
        )
    present = [i for i, device in enumerate(mixing.devices) if device in usable]
    bodies = [usable[mixing.devices[i]] for i in present]
    found = how.weigh(bodies, received) if how.weigh and bodies else None
    if found is not None:
        mixing = _told(mixing, present, found)
    weights = aggregation.restrict(np.array(mixing.weights), present)
    mixed = how.combine(bodies, weights)
    messages = tuple(
        send(
            how.down.kind,
            Route(mixing.edge, mixing.devices[i], sent.round, model.sha256),
            body,
        )
        for i, body in zip(present, mixed, strict=True)
    )
    return Mixed(messages, left_out, mixing)


def _told(mixing: Mixing, present: Sequence[int], found: Weighed) -> Mixing:
    """Who listens to whom by what those present told; the others listen to themselves alone."""
    distances, weights = np.zeros((len(mixing.devices),) * 2), np.eye(len(mixing.devices))
    among = np.ix_(present, present)
    distances[among], weights[among] = found
    return Mixing(mixing.edge, mixing.devices, _rows(distances), _rows(weights))


def _rows(matrix: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(x) for x in row) for row in matrix)
