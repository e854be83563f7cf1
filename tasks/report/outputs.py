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

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from tasks.links.ledger import write_ledger
from tasks.links.link import Message
from tasks.links.records import Coarse, DataFacts, Match, Mixing, Search, State, Variant
from tasks.run.files import Ref, publish, read_json, sha256_of, write_json

BACKBONE = Path("artifacts/backbone")
CUSTOMIZE = Path("artifacts/customize")
SUMMARY = Path("artifacts/summary.json")
REPORT = Path("artifacts/report.html")
KEPT = ("customized_model", "feature_sketch", "importance_set")
"""What an edge keeps of a customization, so that one device can be refined again without its peers:
the model as sent down (one for all devices), and every device's sketch and importance sets."""

T = TypeVar("T")


def publish_backbone(
    elastic: Ref,
    variants: Sequence[Variant],
    matches: Sequence[Match],
    backbones: Sequence[Ref],
    messages: Sequence[Message],
    out: Path = BACKBONE,
) -> None:
    """Leave the outcome of the cloud's phase."""
    publish(elastic, out / "elastic.safetensors")
    for match, backbone in zip(matches, backbones, strict=True):
        publish(backbone, out / f"{match.edge}.safetensors")
    _write(out / "variants.json", variants)
    _write(out / "matches.json", matches)
    write_ledger(out / "ledger.parquet", messages)


def read_variants(out: Path = BACKBONE) -> list[Variant]:
    """The scored grid."""
    return _read(out / "variants.json", list[Variant])


def read_matches(out: Path = BACKBONE) -> list[Match]:
    """What every cluster got, in the fleet's order."""
    return _read(out / "matches.json", list[Match])


def cut_backbone(edge: str, out: Path = BACKBONE) -> Ref:
    """The backbone that the cloud cut for an edge's cluster."""
    path = out / f"{edge}.safetensors"
    return Ref(str(path), sha256_of(path))


def backbone_of(edge: str, out: Path = CUSTOMIZE) -> Ref:
    """The backbone that an edge sent to its devices: as cut, or trained with the header."""
    path = out / f"backbones/{edge}.safetensors"
    return Ref(str(path), sha256_of(path))


def publish_customization(
    searches: Sequence[Search],
    coarse: Sequence[Coarse],
    mixings: Sequence[Mixing],
    rounds: Sequence[State],
    trained_on: Sequence[DataFacts],
    messages: Sequence[Message],
    out: Path = CUSTOMIZE,
) -> None:
    """Leave the outcome of the edges' and devices' phase; records refer to the files left."""
    _write(out / "searches.json", [_published_search(s, out) for s in searches])
    for model in coarse:
        publish(model.backbone, out / f"backbones/{model.edge}.safetensors")
    _write(out / "mixings.json", mixings)
    _write(out / "rounds.json", [_published_state(s, out) for s in rounds])
    _write(out / "trained_on.json", trained_on)
    kept = {(m.kind, m.sender, m.round): m for m in messages if m.kind in KEPT}
    _write(out / "kept.json", [_kept(m, out) for m in kept.values()])
    write_ledger(out / "ledger.parquet", messages)


def read_searches(out: Path = CUSTOMIZE) -> list[Search]:
    """Every edge's search."""
    return _read(out / "searches.json", list[Search])


def read_mixings(out: Path = CUSTOMIZE) -> list[Mixing]:
    """Every cluster's similarity and weights."""
    return _read(out / "mixings.json", list[Mixing])


def read_rounds(out: Path = CUSTOMIZE) -> list[State]:
    """Every device's state after every round, 0 being what it received."""
    return _read(out / "rounds.json", list[State])


def read_kept(out: Path = CUSTOMIZE) -> list[Message]:
    """The messages that edges keep; see :data:`KEPT`."""
    return _read(out / "kept.json", list[Message])


def read_trained_on(out: Path = CUSTOMIZE) -> list[DataFacts]:
    """What each device remembers of the data that its model was trained on."""
    return _read(out / "trained_on.json", list[DataFacts])


def _kept(message: Message, out: Path) -> Message:
    path = out / f"messages/{message.kind}/{message.sender}-{message.round}.safetensors"
    return replace(message, path=str(publish(Ref(message.path, message.sha256), path)))


def _published_search(search: Search, out: Path) -> Search:
    headers = tuple(
        replace(h, state=_moved(h.state, out / f"headers/{search.edge}-{h.name}.safetensors"))
        for h in search.headers
    )
    return replace(search, headers=headers)


def _published_state(state: State, out: Path) -> State:
    name = f"devices/{state.device}-round-{state.round}.safetensors"
    return replace(state, header=_moved(state.header, out / name), importance=None)


def _moved(ref: Ref, path: Path) -> Ref:
    return Ref(str(publish(ref, path)), ref.sha256)


def _write(path: Path, records: Sequence[Any]) -> None:
    write_json(path, [asdict(record) for record in records])


def _read(path: Path, kind: type[T]) -> T:
    return TypeAdapter(kind).validate_python(read_json(path))
