"""The links: what may cross a tier, what may not, and that every byte is counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from tasks.experiments.central.kinds import KINDS as CENTRAL
from tasks.links.kinds import KINDS
from tasks.links.ledger import totals, write_ledger
from tasks.links.link import receive, send
from tasks.run.errors import LinkError
from tasks.run.store import Store


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def importance(values: torch.Tensor | None = None) -> dict[str, Any]:
    tensor = torch.rand(8) if values is None else values
    return {
        "sender": "device-01",
        "receiver": "edge-0",
        "tensors": {"importance": tensor},
    }


def test_a_message_arrives_as_it_was_sent_and_its_file_is_what_is_counted(tmp_path: Path) -> None:
    values = torch.rand(8)
    message = send("importance_set", **importance(values))
    tensors, _ = receive(message)
    assert torch.equal(tensors["importance"], values)
    assert message.bytes == Store.here().path(message.content).stat().st_size
    assert message.direction == "up"


def test_values_travel_as_json(tmp_path: Path) -> None:
    values = {"val_loss": 0.5, "val_accuracy": 0.8, "parameters": 3}
    message = send("metrics", sender="device-01", receiver="edge-0", values=values)
    assert receive(message) == ({}, values)


def test_values_travel_beside_tensors(tmp_path: Path) -> None:
    message = send(
        "backbone",
        sender="cloud",
        receiver="edge-0",
        tensors={"w": torch.ones(2)},
        values={"config": {"dim": 2}},
    )
    tensors, values = receive(message)
    assert values == {"config": {"dim": 2}}
    assert tensors["w"].tolist() == [1.0, 1.0]
    assert message.direction == "down"


IMAGES = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
LABELS = torch.zeros(2, dtype=torch.int16)


@pytest.mark.parametrize(
    ("kind", "tensors", "reason"),
    [
        ("gossip", {}, "not declared"),
        ("importance_set", {"importance": IMAGES}, "uint8"),
        ("importance_set", {"importance": torch.rand(2, 2)}, "2 dimensions"),
        ("importance_set", {"importance": torch.rand(8), "labels": LABELS}, "labels"),
        ("importance_set", {"importance": LABELS}, "int16"),
        ("importance_set", {"importance": torch.rand(200_000)}, "200,000"),
        ("feature_sketch", {"features": IMAGES.half()}, "4 dimensions"),
        ("metrics", {"images": IMAGES}, "values"),
        ("customized_model", {"backbone.w": IMAGES}, "raw data"),
    ],
)
def test_what_is_not_declared_is_refused(
    tmp_path: Path, kind: str, tensors: dict[str, torch.Tensor], reason: str
) -> None:
    values = {"config": {}} if kind == "customized_model" else None
    with pytest.raises(LinkError, match=reason):
        send(
            kind,
            sender="device-01",
            receiver="edge-0",
            tensors=tensors,
            values=values,
        )
    assert not list(tmp_path.rglob("*"))


def test_samples_cannot_hide_in_values(tmp_path: Path) -> None:
    values = {"val_loss": [0.0] * 5000, "val_accuracy": 1.0, "parameters": 1}
    with pytest.raises(LinkError, match="short list"):
        send("metrics", sender="device-01", receiver="edge-0", values=values)


def test_raw_data_go_up_in_the_centralised_comparison_alone() -> None:
    arguments: dict[str, Any] = {
        "sender": "device-01",
        "receiver": "cloud",
        "tensors": {"images": IMAGES, "labels": LABELS},
        "values": {"train_count": 1},
    }
    with pytest.raises(LinkError, match="'central_upload' is not declared"):
        send("central_upload", **arguments)
    assert send("central_upload", kinds=CENTRAL, **arguments).direction == "up"


def test_one_kind_carries_raw_samples() -> None:
    raw_looking = {
        name
        for name, kind in KINDS.items()
        if kind.direction == "up"
        and any(t.dtype == torch.uint8 for t in (kind.tensors or {}).values())
    }
    assert raw_looking == {name for name, kind in KINDS.items() if kind.raw} == {"shared_samples"}


def test_a_damaged_or_missing_message_is_refused(tmp_path: Path) -> None:
    message = send("importance_set", **importance())
    Store.here().path(message.content).write_bytes(b"x")
    with pytest.raises(LinkError, match=r"importance_set from device-01.*content changed"):
        receive(message)
    with pytest.raises(LinkError, match="No such file"):
        receive(replace(message, sha256="0" * 64))


def test_the_ledger_appends_and_counts_a_resumed_message_once(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.parquet"
    first = send("importance_set", round=1, **importance())
    second = send("importance_set", round=2, **importance())
    write_ledger(ledger, [first])
    write_ledger(ledger, [first, second])
    rows = pd.read_parquet(ledger)
    assert rows["round"].tolist() == [1, 2]
    assert rows.bytes.tolist() == [first.bytes, second.bytes]


def test_totals_count_the_shared_sets_apart(tmp_path: Path) -> None:
    up = send("importance_set", **importance())
    shared = send(
        "shared_samples",
        sender="device-01",
        receiver="edge-0",
        tensors={"images": IMAGES, "labels": LABELS},
        values={"train_count": 1},
    )
    down = send(
        "mixed_importance",
        sender="edge-0",
        receiver="device-01",
        tensors={"importance": torch.rand(8)},
    )
    write_ledger(tmp_path / "ledger.parquet", [up, shared, down])
    cost = totals([tmp_path / "ledger.parquet"], centralised_bytes=10_000)
    assert cost["uplink_bytes"] == up.bytes
    assert cost["shared_bytes"] == shared.bytes
    assert cost["downlink_bytes"] == down.bytes
    assert cost["uplink_ratio"] == up.bytes / 10_000
    assert cost["uplink_ratio_with_shared"] == (up.bytes + shared.bytes) / 10_000
