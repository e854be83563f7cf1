"""What an edge keeps of its last customization, to refine one device again without its peers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from models.refinement.exchanges import EXCHANGES
from tasks.links.link import Message
from tasks.links.sent import MODEL
from tasks.run.errors import ArtifactError
from tasks.settings.fleet import Cluster, Device
from tasks.settings.params import Refinement

SKETCH = "feature_sketch"


@dataclass(frozen=True)
class Kept:
    """What an edge kept of its last customization, as seen by one of its devices: the model that
    was sent down, every other device's sketch, and by round what they exchanged."""

    model: Message
    sketches: tuple[Message, ...]
    sent: dict[int, tuple[Message, ...]]


def kept_for(
    messages: Sequence[Message], device: Device, cluster: Cluster, recipe: Refinement
) -> Kept:
    """What the edge kept (``messages``), for one of its devices.

    Raises:
        ArtifactError: there was no customization of this cluster yet.
    """
    models = [m for m in messages if m.kind == MODEL and m.sender == cluster.edge]
    if not models:
        raise ArtifactError(f"{cluster.edge}: no customization is kept. Try: acme run")
    peers = [d.name for d in cluster.devices if d.name != device.name]
    sketches = {m.sender: m for m in messages if m.kind == SKETCH}
    exchanged = [m for m in messages if m.kind in EXCHANGES[recipe.exchange].keeps]
    return Kept(
        model=replace(models[0], receiver=device.name),
        sketches=tuple(sketches[name] for name in peers if name in sketches),
        sent={t: tuple(_last(exchanged, peers, t)) for t in range(1, recipe.rounds + 1)},
    )


def kinds(exchange: str) -> tuple[str, ...]:
    """The kinds that an edge keeps, so that one device can be refined again without its peers: the
    model as sent down, every device's sketch, and what the exchange says."""
    return (MODEL, SKETCH, *EXCHANGES[exchange].keeps)


def _last(messages: Sequence[Message], devices: Sequence[str], t: int) -> list[Message]:
    """What each device sent in round ``t``, or last where the loop ended before."""
    found: dict[tuple[str, str], Message] = {}
    for message in sorted(messages, key=lambda m: m.round):
        if message.sender in devices and message.round <= t:
            found[message.sender, message.kind] = message
    return list(found.values())
