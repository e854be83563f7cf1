"""Between two customizations: whose data changed, and what is kept to refine that device alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from tasks.errors import ArtifactError
from tasks.fleet import Cluster, Device
from tasks.links import Message
from tasks.outputs import read_kept, read_trained_on
from tasks.records import DataFacts
from tasks.registry import CHALLENGER, CHAMPION, Registry, Version, device_model
from tasks.store import Ref, read_json, write_json

NIGHTLY = Path("artifacts/nightly")
SAMPLES = "samples_sha256"  # the tag of a version: the hash of the device's samples

Status = Literal["unchanged", "refined already", "no drift", "drifted", "no champion", "unfit"]


@dataclass(frozen=True)
class Finding:
    """What the check of one device found; ``words`` say why."""

    device: str
    status: Status
    words: str


@dataclass(frozen=True)
class Kept:
    """What an edge kept of its last customization, as seen by one of its devices: the model that
    was sent down, every other device's sketch, and their importance sets by round."""

    model: Message
    sketches: tuple[Message, ...]
    sets: dict[int, tuple[Message, ...]]


def known_version(registry: Registry, device: str, samples: Ref) -> tuple[Version | None, bool]:
    """The device's champion, and whether it or the challenger was made from these samples."""
    name = device_model(device)
    champion, challenger = registry.find(name, CHAMPION), registry.find(name, CHALLENGER)
    seen = [v.tags.get(SAMPLES) == samples.sha256 for v in (champion, challenger) if v]
    return champion, any(seen)


def trained_on(device: str, champion: Version) -> DataFacts | None:
    """What the device remembers of the data that its champion was trained on, if it still does."""
    facts = [f for f in read_trained_on() if f.device == device]
    own = NIGHTLY / device / "trained_on.json"
    if own.exists():
        facts.append(TypeAdapter(DataFacts).validate_python(read_json(own)))
    return next((f for f in facts if f.samples_sha256 == champion.tags.get(SAMPLES)), None)


def remember(facts: DataFacts) -> None:
    """Keep what a device's new model was trained on."""
    write_json(NIGHTLY / facts.device / "trained_on.json", vars(facts))


def kept_for(device: Device, cluster: Cluster, rounds: int) -> Kept:
    """What the edge kept, for one of its devices.

    Raises:
        ArtifactError: there was no customization of this cluster yet.
    """
    messages = read_kept()
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
