"""What an edge keeps of its last customization, to refine one device again without its peers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tasks.links.link import Message
from tasks.run.errors import ArtifactError
from tasks.settings.fleet import Cluster, Device


@dataclass(frozen=True)
class Kept:
    """What an edge kept of its last customization, as seen by one of its devices: the model that
    was sent down, every other device's sketch, and their importance sets by round."""

    model: Message
    sketches: tuple[Message, ...]
    sets: dict[int, tuple[Message, ...]]


def kept_for(messages: Sequence[Message], device: Device, cluster: Cluster, rounds: int) -> Kept:
    """What the edge kept (``messages``), for one of its devices.

    Raises:
        ArtifactError: there was no customization of this cluster yet.
    """
    models = [m for m in messages if m.kind == "customized_model" and m.sender == cluster.edge]
    if not models:
        raise ArtifactError(f"{cluster.edge}: no customization is kept. Try: acme run")
    peers = [d.name for d in cluster.devices if d.name != device.name]
    sketches = {m.sender: m for m in messages if m.kind == "feature_sketch"}
    return Kept(
        model=replace(models[0], receiver=device.name),
        sketches=tuple(sketches[name] for name in peers if name in sketches),
        sets={t: tuple(_last_sets(messages, peers, t)) for t in range(1, rounds + 1)},
    )


def _last_sets(messages: Sequence[Message], devices: Sequence[str], t: int) -> list[Message]:
    """Each device's importance set of round ``t``, or its last where the loop ended before."""
    found: dict[str, Message] = {}
    for message in sorted(messages, key=lambda m: m.round):
        if message.kind == "importance_set" and message.sender in devices and message.round <= t:
            found[message.sender] = message
    return list(found.values())
