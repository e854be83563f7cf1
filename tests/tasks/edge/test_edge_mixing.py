"""The edge's side of the loop: who is left out, and that the round goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from models.header.build import build_header, state_of
from models.header.config import HeaderConfig
from tasks.edge.mixing import compare, mix
from tasks.edge.statistics import send_statistics
from tasks.links.link import Message, Route, receive, send
from tasks.links.records import Mixed, Mixing
from tasks.run.errors import LinkError
from tasks.run.store import Store, put
from tasks.settings import params as settings
from tests.tiny import ROOT

DEVICES = ("device-00", "device-01", "device-02", "device-03")
NEURONS = 6


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def importance(device: str, values: torch.Tensor) -> Message:
    return send("importance_set", Route(device, "edge-0", 1), {"importance": values})


def model() -> Message:
    """A header with NEURONS neurons, as the edge sent it down."""
    config = HeaderConfig("mlp", dim=4, shape=(2, 2), classes=3, channels=2, hidden=NEURONS)
    state = {f"header.{k}": v for k, v in state_of(build_header(config)).items()}
    values = {"config": {"header": config.to_dict()}}
    return send("customized_model", Route("edge-0", DEVICES[0]), state, values)


def mixed_of(sent: list[Message], exchange: str = "importance") -> Mixed:
    return mix.fn(1, sent, mixing(), exchange, model(), 0.5)


def sets() -> list[Message]:
    stream = torch.Generator().manual_seed(0)
    return [importance(d, torch.rand(NEURONS, generator=stream)) for d in DEVICES]


def mixing() -> Mixing:
    weights = ((0.4, 0.3, 0.2, 0.1),) * 4
    return Mixing("edge-0", DEVICES, ((0.0,) * 4,) * 4, weights)


def mixed_values(mixed: Mixed) -> dict[str, np.ndarray]:
    return {m.receiver: receive(m)[0]["importance"].numpy() for m in mixed.messages}


def test_every_device_gets_its_weighted_sum() -> None:
    sent = sets()
    mixed = mixed_of(sent)
    own = [receive(m)[0]["importance"].numpy() for m in sent]
    expected = 0.4 * own[0] + 0.3 * own[1] + 0.2 * own[2] + 0.1 * own[3]
    assert mixed.left_out == {}
    for values in mixed_values(mixed).values():
        np.testing.assert_allclose(values, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (torch.rand(NEURONS + 1), "shape"),
        (torch.full((NEURONS,), float("nan")), "finite"),
        (torch.full((NEURONS,), float("inf")), "finite"),
        (-torch.rand(NEURONS), "negative"),
    ],
)
def test_a_malformed_set_is_left_out_and_named(bad: torch.Tensor, reason: str) -> None:
    sent = sets()
    sent[2] = importance(DEVICES[2], bad)
    mixed = mixed_of(sent)
    assert reason in mixed.left_out[DEVICES[2]]
    assert set(mixed_values(mixed)) == set(DEVICES) - {DEVICES[2]}
    own = {m.sender: receive(m)[0]["importance"].numpy() for m in sent}
    expected = (0.4 * own[DEVICES[0]] + 0.3 * own[DEVICES[1]] + 0.1 * own[DEVICES[3]]) / 0.8
    np.testing.assert_allclose(mixed_values(mixed)[DEVICES[0]], expected, rtol=1e-5)


def test_a_device_that_sent_nothing_is_left_out_and_named() -> None:
    mixed = mixed_of(sets()[:3])
    assert mixed.left_out == {DEVICES[3]: "sent nothing"}


def test_a_damaged_message_is_left_out_and_named() -> None:
    sent = sets()
    Store.here().path(sent[1].content).write_bytes(save({"importance": torch.rand(NEURONS)}))
    mixed = mixed_of(sent)
    assert "content changed" in mixed.left_out[DEVICES[1]]


def test_where_nothing_is_exchanged_nothing_is_mixed() -> None:
    assert mixed_of([], "none") == Mixed((), {})


def test_below_the_quorum_the_round_stops_and_names_who_is_missing() -> None:
    with pytest.raises(LinkError, match=r"1 of 4 devices.*device-03"):
        mixed_of(sets()[:1])


def recipe(method: str = "wasserstein") -> settings.Refinement:
    loaded = settings.load(ROOT / "params.yaml")
    return replace(loaded.refinement, method=method)


def sketch(device: str, features: torch.Tensor) -> Message:
    return send("feature_sketch", Route(device, "edge-0"), {"features": features.half()})


def sketches() -> list[Message]:
    """Devices 0 and 1 alike, 2 and 3 alike."""
    stream = torch.Generator().manual_seed(1)
    return [
        sketch(d, torch.randn(32, 16, generator=stream) + (1.5 if i > 1 else 0.0))
        for i, d in enumerate(DEVICES)
    ]


def test_alike_devices_listen_to_each_other() -> None:
    weights = np.array(compare.fn("edge-0", DEVICES, sketches(), recipe()).weights)
    np.testing.assert_allclose(weights.sum(1), 1)
    assert weights[0, 1] > 3 * weights[0, 2:].max()
    assert weights[3, 2] > 3 * weights[3, :2].max()


def test_a_device_with_a_malformed_sketch_listens_to_itself() -> None:
    sent = sketches()
    sent[1] = sketch(DEVICES[1], torch.full((32, 16), float("nan")))
    weights = np.array(compare.fn("edge-0", DEVICES, sent, recipe()).weights)
    assert weights[1].tolist() == [0, 1, 0, 0]
    assert weights[[0, 2, 3], 1].tolist() == [0, 0, 0]
    np.testing.assert_allclose(weights.sum(1), 1)


@pytest.mark.parametrize("payload", [b"zzzzzzzzzzzzzzzz", b"[]", save({"other": torch.rand(2)})])
def test_a_device_whose_sketch_is_no_sketch_listens_to_itself(payload: bytes) -> None:
    sent = sketches()
    sent[1] = replace(sent[1], sha256=put("feature_sketch", payload).sha256)
    weights = np.array(compare.fn("edge-0", DEVICES, sent, recipe()).weights)
    assert weights[1].tolist() == [0, 1, 0, 0]
    assert weights[0, 0] < 1 or weights[2, 3] > 0


def test_a_device_without_a_sketch_listens_to_itself() -> None:
    weights = np.array(compare.fn("edge-0", DEVICES, sketches()[:3], recipe()).weights)
    assert weights[3].tolist() == [0, 0, 0, 1]
    assert np.array(compare.fn("edge-0", DEVICES, [], recipe()).weights).tolist() == (
        np.eye(4).tolist()
    )


def test_statistics_go_up_without_the_devices_own_files() -> None:
    attributes = [
        send(
            "device_attributes",
            Route(d, "edge-0"),
            values={"storage_limit": 100 - i, "gpu_capacity_watt": 5.0, "base_latency_s": 1.0},
        )
        for i, d in enumerate(DEVICES)
    ]
    message = send_statistics.fn("edge-0", attributes)
    assert receive(message)[1]["storage_limit"] == 97
    assert message.direction == "up"
    with pytest.raises(LinkError):
        receive(replace(message, sha256="0"))
