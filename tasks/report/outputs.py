"""What the stages leave for each other and for DVC: plain names, deterministic content, no times.

::

    artifacts/backbone/    reference.json  reference.safetensors  variants.json  matches.json
                           elastic.safetensors  cnn.safetensors, where asked for
                           <edge>.safetensors  ledger.parquet
    artifacts/customize/   searches.json  mixings.json  rounds.json  receipts.json  ledger.parquet
                           backbones/<edge>.safetensors  headers/<edge>-<name>.safetensors
                           devices/<device>-round-<t>.safetensors
                           kept.json  messages/<kind>/<sender>-<round>.safetensors
                           trained_on.json
    both                   SHA256SUMS
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from tasks.links.ledger import LEDGER, write_ledger
from tasks.links.link import Message
from tasks.links.records import (
    Coarse,
    DataFacts,
    Match,
    Mixing,
    Receipt,
    ReferenceScore,
    Search,
    State,
    Variant,
)
from tasks.run.files import write_json
from tasks.run.store import Ref, publish, take
from tasks.run.written import read_written_json, rewriting

T = TypeVar("T")


@dataclass(frozen=True)
class Fitted:
    """What a cluster got of the cloud: the match, the backbone cut by it, and all messages."""

    match: Match
    backbone: Ref
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Grown:
    """What the cloud made for all: its reference and how good it is, the elastic backbone, the
    scored grid, and the plain CNN beside them, if one was asked for."""

    reference: Ref
    known: ReferenceScore
    elastic: Ref
    variants: Sequence[Variant]
    cnn: Ref | None = None


def publish_backbone(out: Path, grown: Grown, clusters: Sequence[Fitted]) -> None:
    """Leave the outcome of the cloud's phase, instead of an earlier one."""
    with rewriting(out) as new:
        publish(grown.reference, new / "reference.safetensors")
        publish(grown.elastic, new / "elastic.safetensors")
        if grown.cnn is not None:
            publish(grown.cnn, new / "cnn.safetensors")
        for cluster in clusters:
            publish(cluster.backbone, new / f"{cluster.match.edge}.safetensors")
        write_json(new / "reference.json", asdict(grown.known))
        _write(new / "variants.json", grown.variants)
        _write(new / "matches.json", [cluster.match for cluster in clusters])
        write_ledger(new / LEDGER, [m for c in clusters for m in c.messages])


def read_reference(out: Path) -> ReferenceScore:
    """How good the reference is."""
    return _read(out, "reference.json", ReferenceScore)


def read_variants(out: Path) -> list[Variant]:
    """The scored grid."""
    return _read(out, "variants.json", list[Variant])


def read_matches(out: Path) -> list[Match]:
    """What every cluster got, in the fleet's order."""
    return _read(out, "matches.json", list[Match])


def read_reference_model(out: Path) -> Ref:
    """The reference that everything is cut from, as it was trained."""
    return take("backbone", out, "reference.safetensors")


def read_cnn(out: Path) -> Ref:
    """The plain CNN beside the reference, where :class:`ReferenceScore` has one."""
    return take("cnn", out, "cnn.safetensors")


def read_elastic(out: Path) -> Ref:
    """The elastic backbone that all variants are cut from."""
    return take("backbone", out, "elastic.safetensors")


def read_cut(out: Path, edge: str) -> Ref:
    """The backbone that the cloud cut for an edge's cluster."""
    return take("backbone", out, f"{edge}.safetensors")


def backbone_file(out: Path, edge: str) -> Path:
    """Where the backbone lies that an edge sent to its devices: as cut, or trained with the
    header."""
    return out / _backbone_name(edge)


def read_backbone(out: Path, edge: str) -> Ref:
    """The backbone of :func:`backbone_file`."""
    return take("backbone", out, _backbone_name(edge))


@dataclass(frozen=True)
class Customized:
    """What one cluster's loop left: the search, what went down, who listened to whom, every
    device's rounds (one that was left out of a round has none of it), all messages, and what each
    device sent its own for."""

    search: Search
    coarse: Coarse
    mixing: Mixing
    rounds: tuple[tuple[State, ...], ...]
    messages: tuple[Message, ...]
    receipts: tuple[Receipt, ...] = ()


def publish_customization(
    out: Path,
    clusters: Sequence[Customized],
    trained_on: Sequence[DataFacts],
    keep: Collection[str],
) -> None:
    """Leave the outcome of the edges' and devices' phase, instead of an earlier one; of the
    messages, edges keep those of some kinds."""
    states = [s for c in clusters for rounds in c.rounds for s in rounds]
    messages = [m for c in clusters for m in c.messages]
    kept = list({(m.kind, m.sender, m.round): m for m in messages if m.kind in keep}.values())
    with rewriting(out) as new:
        for cluster in clusters:
            edge = cluster.search.edge
            publish(cluster.coarse.backbone, backbone_file(new, edge))
            for header in cluster.search.headers:
                publish(header.state, new / _header_name(edge, header.name))
        for state in states:
            publish(state.header, new / _state_name(state))
        for message in kept:
            publish(message.content, new / _message_name(message))
        _write(new / "searches.json", [c.search for c in clusters])
        _write(new / "mixings.json", [c.mixing for c in clusters])
        _write(
            new / "rounds.json",
            [replace(s, pruned=None, importance=None, kept=None) for s in states],
        )
        _write(new / "receipts.json", [r for c in clusters for r in c.receipts])
        _write(new / "trained_on.json", trained_on)
        _write(new / "kept.json", kept)
        write_ledger(new / LEDGER, messages)


def read_searches(out: Path) -> list[Search]:
    """Every edge's search; the store finds its headers again."""
    searches = _read(out, "searches.json", list[Search])
    for search in searches:
        for header in search.headers:
            take(header.state.kind, out, _header_name(search.edge, header.name))
    return searches


def read_mixings(out: Path) -> list[Mixing]:
    """Every cluster's similarity and weights."""
    return _read(out, "mixings.json", list[Mixing])


def read_rounds(out: Path) -> list[State]:
    """Every device's state after every round, 0 being what it received; the store finds its headers
    again."""
    states = _read(out, "rounds.json", list[State])
    for state in states:
        take(state.header.kind, out, _state_name(state))
    return states


def read_receipts(out: Path) -> list[Receipt]:
    """What each device sent messages for."""
    return _read(out, "receipts.json", list[Receipt])


def read_kept(out: Path) -> list[Message]:
    """The messages that edges keep ; the store finds their contents again."""
    messages = _read(out, "kept.json", list[Message])
    for message in messages:
        take(message.kind, out, _message_name(message))
    return messages


def read_trained_on(out: Path) -> list[DataFacts]:
    """What each device remembers of the data that its model was trained on."""
    return _read(out, "trained_on.json", list[DataFacts])


def _backbone_name(edge: str) -> str:
    return f"backbones/{edge}.safetensors"


def _header_name(edge: str, name: str) -> str:
    return f"headers/{edge}-{name}.safetensors"


def _state_name(state: State) -> str:
    return f"devices/{state.device}-round-{state.round}.safetensors"


def _message_name(message: Message) -> str:
    return f"messages/{message.kind}/{message.sender}-{message.round}.safetensors"


def _write(path: Path, records: Sequence[Any]) -> None:
    write_json(path, [asdict(record) for record in records])


def _read(out: Path, name: str, kind: type[T]) -> T:
    return TypeAdapter(kind).validate_python(read_written_json(out, name))
