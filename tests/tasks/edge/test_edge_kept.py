"""What an edge kept, as seen by one of its devices."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tasks.edge.kept import kept_for, kinds
from tasks.links.link import Message
from tasks.run.errors import ArtifactError
from tasks.settings.fleet import Cluster
from tasks.settings.params import Refinement, load
from tests.tiny import ROOT

CLUSTER = Cluster.model_validate(
    {
        "edge": "north",
        "devices": [
            {"id": i, "storage_limit": 1, "gpu_capacity_watt": 1, "base_latency_s": 1}
            for i in range(3)
        ],
    }
)


def message(kind: str, sender: str, round: int = 0, receiver: str = "north") -> Message:
    return Message(kind, sender, receiver, "up", round, 1, f"{kind}-{sender}-{round}")


MESSAGES = [
    message("customized_model", "south", receiver="device-07"),
    message("customized_model", "north", receiver="device-02"),
    *(message("feature_sketch", f"device-0{i}") for i in range(3)),
    message("feature_sketch", "device-07"),
    *(message("importance_set", f"device-0{i}", t) for i in range(2) for t in (1, 2)),
]


def recipe(rounds: int, exchange: str = "importance") -> Refinement:
    return replace(load(ROOT / "params.yaml").refinement, rounds=rounds, exchange=exchange)


def test_what_is_kept_is_what_the_exchange_says() -> None:
    assert kinds("importance") == ("customized_model", "feature_sketch", "importance_set")
    assert kinds("none") == ("customized_model", "feature_sketch")
    kept = kept_for(MESSAGES, CLUSTER.devices[0], CLUSTER, recipe(1, "none"))
    assert kept.sent == {1: ()}


def test_peers_answer_with_what_they_sent_last_and_the_device_for_itself() -> None:
    kept = kept_for(MESSAGES, CLUSTER.devices[0], CLUSTER, recipe(3))
    assert (kept.model.sender, kept.model.receiver) == ("north", "device-00")
    assert [m.sender for m in kept.sketches] == ["device-01", "device-02"]
    assert {t: [m.sha256 for m in sets] for t, sets in kept.sent.items()} == {
        1: ["importance_set-device-01-1"],
        2: ["importance_set-device-01-2"],
        3: ["importance_set-device-01-2"],
    }


def test_no_customization_says_what_to_run() -> None:
    with pytest.raises(ArtifactError, match=r"north: no customization is kept. Try: acme run"):
        kept_for(MESSAGES[:1], CLUSTER.devices[0], CLUSTER, recipe(1))
