"""The links: what may cross a tier, what may not, and that every byte is counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from tasks.experiments.central import kinds as of_central
from tasks.links.kinds import declared
from tasks.links.ledger import totals, write_ledger
from tasks.links.link import Message, Route, receive, send
from tasks.run.errors import LinkError
from tasks.run.store import Store, put
from tasks.run.written import write_sums

pytestmark = pytest.mark.usefixtures("in_tmp")


def importance(values: torch.Tensor | None = None, round: int = 0) -> dict[str, Any]:
    tensor = torch.rand(8) if values is None else values
    return {
        "route": Route("device-01", "edge-0", round),
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
    message = send("metrics", Route("device-01", "edge-0"), values=values)
    assert receive(message) == ({}, values)


def test_values_travel_beside_tensors(tmp_path: Path) -> None:
    message = send(
        "backbone",
        Route("cloud", "edge-0"),
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
    ],
)
def test_what_is_not_declared_is_refused(
    tmp_path: Path, kind: str, tensors: dict[str, torch.Tensor], reason: str
) -> None:
    with pytest.raises(LinkError, match=reason):
        send(
            kind,
            Route("device-01", "edge-0"),
            tensors,
        )
    assert not list(tmp_path.rglob("*"))


def test_samples_cannot_hide_in_values(tmp_path: Path) -> None:
    values = {"val_loss": [0.0] * 5000, "val_accuracy": 1.0, "parameters": 1}
    with pytest.raises(LinkError, match="val_loss: Input should be a valid number"):
        send("metrics", Route("device-01", "edge-0"), values=values)


def test_the_central_upload_is_the_comparison_s_alone() -> None:
    arguments: dict[str, Any] = {
        "route": Route("device-01", "cloud"),
        "tensors": {"images": IMAGES, "labels": LABELS},
        "values": {"train_count": 1},
    }
    with pytest.raises(LinkError, match="not declared"):
        send("central_upload", **arguments)
    assert send("central_upload", kinds=of_central.KINDS, **arguments).direction == "up"


def test_one_kind_carries_raw_samples() -> None:
    kinds = declared()
    assert {name for name, kind in kinds.items() if kind.raw} == {"shared_samples"}
    raw_looking = {
        name
        for name, kind in kinds.items()
        if kind.direction == "up"
        and any(t.dtype == torch.uint8 and t.dims > 1 for t in (kind.tensors or {}).values())
    }
    assert raw_looking == {"shared_samples"}


@pytest.mark.parametrize(
    ("sender", "receiver"),
    [
        ("edge-0", "device-01"),
        ("device-01", "cloud"),
        ("device-01", "device-02"),
        ("cloud", "edge-0"),
    ],
)
def test_both_ends_are_checked(sender: str, receiver: str) -> None:
    with pytest.raises(LinkError, match="declared from device to edge"):
        send("importance_set", Route(sender, receiver), {"importance": torch.rand(3)})


def test_a_newer_message_is_refused_and_an_older_one_is_read() -> None:
    values = {"val_loss": 0.5, "val_accuracy": 0.8, "parameters": 3}
    later = {"metrics": replace(declared()["metrics"], version=2)}
    message = send("metrics", Route("device-01", "edge-0"), values=values, kinds=later)
    with pytest.raises(LinkError, match=r"to edge-0: it is of version 2; this ACME reads up to 1"):
        receive(message)
    old = put("metrics", json.dumps(values).encode())  # before messages had versions
    assert receive(replace(message, sha256=old.sha256, bytes=len(json.dumps(values))))[1] == values


def attributes(**further: Any) -> dict[str, Any]:
    limits = {"storage_limit": 9, "gpu_capacity_watt": 1.0, "base_latency_s": 1.0}
    return {"route": Route("device-01", "edge-0"), "values": {**limits, **further}}


def test_an_optional_value_may_be_missing_but_not_wrong() -> None:
    """As in a message of before it was known."""
    for further in ({}, {"vocabulary": 12_000}):
        sent = attributes(**further)
        assert receive(send("device_attributes", **sent)) == ({}, sent["values"])
    for wrong in (None, 0, 1.5, True, "12", (1 << 20) + 1):
        with pytest.raises(LinkError, match="vocabulary"):
            send("device_attributes", **attributes(vocabulary=wrong))
    with pytest.raises(LinkError, match="declared"):
        send("device_attributes", **attributes(words=3))


def test_shared_samples_are_of_one_kind() -> None:
    texts = torch.zeros(2, 5, dtype=torch.int32)
    route, values = Route("device-01", "edge-0"), {"train_count": 1}
    for raw in ({"images": IMAGES}, {"tokens": texts}):
        assert send("shared_samples", route, {**raw, "labels": LABELS}, values).bytes > 0
    for raw, why in (
        ({}, "neither images nor tokens"),
        ({"images": IMAGES, "tokens": texts}, "images and tokens"),
        ({"tokens": texts[:1]}, "1 tokens, 2 labels"),
    ):
        with pytest.raises(LinkError, match=why):
            send("shared_samples", route, {**raw, "labels": LABELS}, values)


def test_a_damaged_or_missing_message_is_refused(tmp_path: Path) -> None:
    message = send("importance_set", **importance())
    Store.here().path(message.content).write_bytes(b"x")
    with pytest.raises(LinkError, match=r"importance_set from device-01.*content changed"):
        receive(message)
    with pytest.raises(LinkError, match="No such file"):
        receive(replace(message, sha256="0" * 64))


def test_the_ledger_appends_and_counts_a_resumed_message_once(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.parquet"
    first = send("importance_set", **importance(round=1))
    second = send("importance_set", **importance(round=2))
    write_ledger(ledger, [first])
    write_ledger(ledger, [first, second])
    rows = pd.read_parquet(ledger)
    assert rows["round"].tolist() == [1, 2]
    assert rows.bytes.tolist() == [first.bytes, second.bytes]


def test_totals_count_the_shared_sets_apart(tmp_path: Path) -> None:
    up = send("importance_set", **importance())
    shared = send(
        "shared_samples",
        Route("device-01", "edge-0"),
        tensors={"images": IMAGES, "labels": LABELS},
        values={"train_count": 1},
    )
    down = send(
        "mixed_importance",
        Route("edge-0", "device-01"),
        tensors={"importance": torch.rand(8)},
    )
    write_ledger(tmp_path / "ledger.parquet", [up, shared, down])
    write_sums(tmp_path)
    cost = totals([tmp_path], centralised_bytes=10_000)
    assert cost["uplink_bytes"] == up.bytes
    assert cost["shared_bytes"] == shared.bytes
    assert cost["downlink_bytes"] == down.bytes
    assert cost["uplink_ratio"] == up.bytes / 10_000
    assert cost["uplink_ratio_with_shared"] == (up.bytes + shared.bytes) / 10_000


def test_weights_may_not_look_like_raw_data() -> None:
    with pytest.raises(LinkError, match="raw data"):
        send("customized_model", Route("edge-0", "device-01"), {"w": IMAGES}, {"config": {}})


@pytest.mark.parametrize(
    "payload",
    [
        b"zzzzzzzzzzzzzzzz",
        b"{",
        b"[]",
        b'{"val_loss": 1.0}',
        b'{"val_loss": 1.0, "val_accuracy": 1.0, "parameters": 1, "version": "1"}',
        b'{"val_loss": NaN, "val_accuracy": 1.0, "parameters": 1}',
        b'{"raw": "secret", "version": 1}',
    ],
)
def test_what_is_received_is_checked_as_what_is_sent(payload: bytes) -> None:
    sent = put("metrics", payload)
    message = Message("metrics", "device-01", "edge-0", "up", 1, len(payload), sent.sha256)
    with pytest.raises(LinkError, match="metrics from device-01 to edge-0: "):
        receive(message)


def test_the_ends_of_what_is_received_are_checked() -> None:
    values = {"val_loss": 0.5, "val_accuracy": 0.8, "parameters": 3}
    message = send("metrics", Route("device-01", "edge-0"), values=values)
    with pytest.raises(LinkError, match="declared from device to edge"):
        receive(replace(message, receiver="cloud"))
