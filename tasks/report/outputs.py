"""What the stages leave for each other and for DVC: plain names, deterministic content, no times.

::

    artifacts/backbone/    variants.json  matches.json  elastic.safetensors  <edge>.safetensors
                           ledger.parquet
    artifacts/customize/   searches.json  mixings.json  rounds.json  ledger.parquet
                           backbones/<edge>.safetensors  headers/<edge>-<name>.safetensors
                           devices/<device>-round-<t>.safetensors
                           kept.json  messages/<kind>/<sender>-<round>.safetensors
                           trained_on.json
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from tasks.links.ledger import write_ledger
from tasks.links.link import Message
from tasks.links.records import Coarse, DataFacts, Match, Mixing, Search, State, Variant
from tasks.run.files import read_json, write_json
from tasks.run.store import Ref, adopt, publish

T = TypeVar("T")


@dataclass(frozen=True)
class Fitted:
    """What a cluster got of the cloud: the match, the backbone cut by it, and all messages."""

    match: Match
    backbone: Ref
    messages: tuple[Message, ...]


def publish_backbone(
    out: Path, elastic: Ref, variants: Sequence[Variant], clusters: Sequence[Fitted]
) -> None:
    """Leave the outcome of the cloud's phase."""
    publish(elastic, out / "elastic.safetensors")
    for cluster in clusters:
        publish(cluster.backbone, out / f"{cluster.match.edge}.safetensors")
    _write(out / "variants.json", variants)
    _write(out / "matches.json", [cluster.match for cluster in clusters])
    write_ledger(out / "ledger.parquet", [m for c in clusters for m in c.messages])


def read_variants(out: Path) -> list[Variant]:
    """The scored grid."""
    return _read(out / "variants.json", list[Variant])


def read_matches(out: Path) -> list[Match]:
    """What every cluster got, in the fleet's order."""
    return _read(out / "matches.json", list[Match])


def read_elastic(out: Path) -> Ref:
    """The elastic backbone that all variants are cut from."""
    return adopt("backbone", out / "elastic.safetensors")


def read_cut(out: Path, edge: str) -> Ref:
    """The backbone that the cloud cut for an edge's cluster."""
    return adopt("backbone", out / f"{edge}.safetensors")


def backbone_file(out: Path, edge: str) -> Path:
    """Where the backbone lies that an edge sent to its devices: as cut, or trained with the
    header."""
    return out / f"backbones/{edge}.safetensors"


def read_backbone(out: Path, edge: str) -> Ref:
    """The backbone of :func:`backbone_file`."""
    return adopt("backbone", backbone_file(out, edge))


@dataclass(frozen=True)
class Customized:
    """What one cluster's loop left: the search, what went down, who listened to whom, every
    device's rounds (one that was left out of a round has none of it), and all messages."""

    search: Search
    coarse: Coarse
    mixing: Mixing
    rounds: tuple[tuple[State, ...], ...]
    messages: tuple[Message, ...]


def publish_customization(
    out: Path,
    clusters: Sequence[Customized],
    trained_on: Sequence[DataFacts],
    keep: Collection[str],
) -> None:
    """Leave the outcome of the edges' and devices' phase; of the messages, edges keep those of some
    kinds."""
    for cluster in clusters:
        edge = cluster.search.edge
        publish(cluster.coarse.backbone, backbone_file(out, edge))
        for header in cluster.search.headers:
            publish(header.state, _header_file(out, edge, header.name))
        for state in (s for rounds in cluster.rounds for s in rounds):
            publish(state.header, _state_file(out, state))
    _write(out / "searches.json", [c.search for c in clusters])
    _write(out / "mixings.json", [c.mixing for c in clusters])
    states = [s for c in clusters for rounds in c.rounds for s in rounds]
    _write(out / "rounds.json", [replace(s, pruned=None) for s in states])
    _write(out / "trained_on.json", trained_on)
    messages = [m for c in clusters for m in c.messages]
    kept = list({(m.kind, m.sender, m.round): m for m in messages if m.kind in keep}.values())
    for message in kept:
        publish(message.content, _message_file(out, message))
    _write(out / "kept.json", kept)
    write_ledger(out / "ledger.parquet", messages)


def read_searches(out: Path) -> list[Search]:
    """Every edge's search; the store finds its headers again."""
    searches = _read(out / "searches.json", list[Search])
    for search in searches:
        for header in search.headers:
            adopt(header.state.kind, _header_file(out, search.edge, header.name))
    return searches


def read_mixings(out: Path) -> list[Mixing]:
    """Every cluster's similarity and weights."""
    return _read(out / "mixings.json", list[Mixing])


def read_rounds(out: Path) -> list[State]:
    """Every device's state after every round, 0 being what it received; the store finds its headers
    again."""
    states = _read(out / "rounds.json", list[State])
    for state in states:
        adopt(state.header.kind, _state_file(out, state))
    return states


def read_kept(out: Path) -> list[Message]:
    """The messages that edges keep ; the store finds their contents again."""
    messages = _read(out / "kept.json", list[Message])
    for message in messages:
        adopt(message.kind, _message_file(out, message))
    return messages


def read_trained_on(out: Path) -> list[DataFacts]:
    """What each device remembers of the data that its model was trained on."""
    return _read(out / "trained_on.json", list[DataFacts])


def _header_file(out: Path, edge: str, name: str) -> Path:
    return out / f"headers/{edge}-{name}.safetensors"


def _state_file(out: Path, state: State) -> Path:
    return out / f"devices/{state.device}-round-{state.round}.safetensors"


def _message_file(out: Path, message: Message) -> Path:
    return out / f"messages/{message.kind}/{message.sender}-{message.round}.safetensors"


def _write(path: Path, records: Sequence[Any]) -> None:
    write_json(path, [asdict(record) for record in records])


def _read(path: Path, kind: type[T]) -> T:
    return TypeAdapter(kind).validate_python(read_json(path))
