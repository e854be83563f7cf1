"""Who listens to whom, and the mixing of what devices send (Sec. III-D2, Eq. 19-21)."""

from __future__ import annotations

import statistics

import numpy as np
import torch

from models.refinement import aggregation, similarity
from models.refinement.mixers import mixing_weights
from models.refinement.recipe import Likeness
from tasks.links.link import Message, receive, send
from tasks.links.records import Mixed, Mixing
from tasks.run.cached import cached, retried
from tasks.run.errors import LinkError


@cached("{edge}: compare the devices")
def compare(edge: str, sketches: list[Message], recipe: Likeness) -> Mixing:
    """Similarity of the devices' data (Eq. 19) and who listens to whom (Eq. 20).

    A device whose sketch is malformed listens to itself alone, and nobody to it.
    """
    samples = [receive(sketch)[0]["features"].float().numpy() for sketch in sketches]
    width = statistics.mode(sample.shape[-1] for sample in samples)
    usable = [i for i, s in enumerate(samples) if similarity.check_sample(s, width) is None]
    distances, weights = np.zeros((len(samples),) * 2), np.eye(len(samples))
    if usable:
        among = np.ix_(usable, usable)
        distances[among], weights[among] = mixing_weights(recipe, [samples[i] for i in usable])
    return Mixing(edge, tuple(s.sender for s in sketches), _rows(distances), _rows(weights))


@retried("{edge}, round {round}: mix importance sets")
def mix(
    edge: str,
    round: int,
    sets: list[Message],
    neurons: int,
    mixing: Mixing,
    quorum: float,
) -> Mixed:
    """Eq. 21 over the devices that sent a well-formed set; the others are left out and named.

    Raises:
        LinkError: fewer devices than the quorum sent a usable set.
    """
    usable: dict[str, np.ndarray] = {}
    left_out = {device: "sent nothing" for device in mixing.devices}
    for message in sets:
        values, reason = _read_set(message, neurons)
        if reason is None and values is not None:
            usable[message.sender] = values
            left_out.pop(message.sender, None)
        else:
            left_out[message.sender] = str(reason)
    if len(usable) < quorum * len(mixing.devices):
        raise LinkError(
            f"{edge}, round {round}: {len(usable)} of {len(mixing.devices)} devices sent a usable "
            f"importance set, quorum is {quorum:.0%}. Left out: {left_out}"
        )
    present = [i for i, device in enumerate(mixing.devices) if device in usable]
    weights = aggregation.restrict(np.array(mixing.weights), present)
    mixed = aggregation.aggregate(np.stack([usable[mixing.devices[i]] for i in present]), weights)
    messages = tuple(
        send(
            "mixed_importance",
            sender=edge,
            receiver=mixing.devices[i],
            round=round,
            tensors={"importance": torch.from_numpy(row).float()},
        )
        for i, row in zip(present, mixed, strict=True)
    )
    return Mixed(messages, left_out)


def _read_set(message: Message, neurons: int) -> tuple[np.ndarray | None, str | None]:
    try:
        values = receive(message)[0]["importance"].numpy()
    except (LinkError, KeyError) as error:
        return None, str(error)
    return values, aggregation.check_set(values, neurons)


def _rows(matrix: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(x) for x in row) for row in matrix)
