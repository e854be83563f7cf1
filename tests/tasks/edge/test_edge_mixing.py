"""The edge's side of the loop: who is left out, and that the round goes on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save

from models.header.build import build_header, state_of
from models.header.config import HeaderConfig
from models.refinement.sketches import LEVELS, quantiles
from tasks.edge.mixing import compare, mix
from tasks.edge.statistics import send_statistics
from tasks.links.link import Message, Route, receive, send
from tasks.links.records import Mixed, Mixing, Sent
from tasks.run.errors import LinkError
from tasks.run.store import Store, put
from tasks.settings import params as settings
from tests.tiny import ROOT

pytestmark = pytest.mark.usefixtures("in_tmp")

DEVICES = ("device-00", "device-01", "device-02", "device-03")
NEURONS = 6


def importance(device: str, values: torch.Tensor) -> Message:
    return send(
        "importance_set", Route(device, "edge-0", 1, model().sha256), {"importance": values}
    )


def forged(message: Message, tensors: dict[str, torch.Tensor]) -> Message:
    """The message with a content that :func:`send` would refuse."""
    payload = save(tensors)
    return replace(message, sha256=put(message.kind, payload).sha256, bytes=len(payload))


def model() -> Message:
    """A header with NEURONS neurons, as the edge sent it down."""
    config = HeaderConfig("mlp", dim=4, shape=(2, 2), classes=3, channels=2, hidden=NEURONS)
    state = {f"header.{k}": v for k, v in state_of(build_header(config)).items()}
    values = {"config": {"header": config.to_dict()}}
    return send("customized_model", Route("edge-0", DEVICES[0]), state, values)


def mixed_of(sent: list[Message], exchange: str = "importance") -> Mixed:
    return mix.fn(Sent(1, tuple(sent)), mixing(), exchange, model(), 0.5)


def sets() -> list[Message]:
    stream = torch.Generator().manual_seed(0)
    return [importance(d, torch.rand(NEURONS, generator=stream).softmax(0)) for d in DEVICES]


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
        (-torch.rand(NEURONS), "outside 0 to 1"),
        (torch.full((NEURONS,), 1e30), "outside 0 to 1"),
        (torch.ones(NEURONS), "sums to 6, not to 1"),
    ],
)
def test_a_malformed_set_is_left_out_and_named(bad: torch.Tensor, reason: str) -> None:
    sent = sets()
    sent[2] = forged(sent[2], {"importance": bad})
    mixed = mixed_of(sent)
    assert reason in mixed.left_out[DEVICES[2]]
    assert set(mixed_values(mixed)) == set(DEVICES) - {DEVICES[2]}
    own = {m.sender: receive(m)[0]["importance"].numpy() for m in sent if m != sent[2]}
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
    assert mixed_of([], "none") == Mixed((), {}, mixing())


def test_below_the_quorum_the_round_stops_and_names_who_is_missing() -> None:
    with pytest.raises(LinkError, match=r"1 of 4 devices.*device-03"):
        mixed_of(sets()[:1])


def recipe(method: str = "wasserstein") -> settings.Refinement:
    loaded = settings.load(ROOT / "params.yaml")
    return replace(loaded.refinement, method=method)


def sketch(device: str, features: torch.Tensor) -> Message:
    return send("feature_sketch", Route(device, "edge-0"), {"features": features.half()})


def shown(values: torch.Tensor, stream: torch.Generator) -> torch.Tensor:
    points = quantiles(values, 0, stream)
    assert points is not None
    return points


def sketches() -> list[Message]:
    """Devices 0 and 1 alike, 2 and 3 alike."""
    stream = torch.Generator().manual_seed(1)
    return [
        sketch(d, shown(torch.randn(200, 16, generator=stream) + (1.5 if i > 1 else 0.0), stream))
        for i, d in enumerate(DEVICES)
    ]


def test_alike_devices_listen_to_each_other() -> None:
    weights = np.array(compare.fn("edge-0", DEVICES, sketches(), recipe()).weights)
    np.testing.assert_allclose(weights.sum(1), 1)
    assert weights[0, 1] > 3 * weights[0, 2:].max()
    assert weights[3, 2] > 3 * weights[3, :2].max()


def test_a_device_with_a_malformed_sketch_listens_to_itself() -> None:
    sent = sketches()
    sent[1] = forged(sent[1], {"features": torch.full((2 * LEVELS, 16), float("nan")).half()})
    weights = np.array(compare.fn("edge-0", DEVICES, sent, recipe()).weights)
    assert weights[1].tolist() == [0, 1, 0, 0]
    assert weights[[0, 2, 3], 1].tolist() == [0, 0, 0]
    np.testing.assert_allclose(weights.sum(1), 1)


@pytest.mark.parametrize("payload", [b"zzzzzzzzzzzzzzzz", b"[]", save({"other": torch.ones(2)})])
def test_a_device_whose_sketch_is_no_sketch_listens_to_itself(payload: bytes) -> None:
    sent = sketches()
    sent[1] = replace(sent[1], sha256=put("feature_sketch", payload).sha256, bytes=len(payload))
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


LIES = {
    "zeros": lambda own, peer: torch.zeros_like(own),
    "constant": lambda own, peer: torch.full_like(own, 5.0),
    "inverted": lambda own, peer: -own,
    "a million times": lambda own, peer: (own * 1e6).clamp(-100, 100),
    "a peer's": lambda own, peer: peer,
}


@pytest.mark.parametrize("count", [4, 5])
@pytest.mark.parametrize("lie", LIES)
def test_one_device_hardly_changes_what_the_others_are_to_each_other(lie: str, count: int) -> None:
    """Of a cluster of four or five, what they give each other changes by a tenth at most, and a
    liar that shows what another does is not heard by that one, nor heard twice by others."""
    devices = (*DEVICES[: count - 1], "device-04")
    sent = sketches()[: count - 1]
    own, peer = (receive(m)[0]["features"] for m in (sketches()[3], sent[1]))
    honest = weights_of(devices, [*sent, sketch("device-04", own + 0.1)])
    weights = weights_of(
        devices, [*sent, sketch("device-04", LIES[lie](own.float(), peer.float()))]
    )
    among, before = (w[:-1, :-1] / w[:-1, :-1].sum(1, keepdims=True) for w in (weights, honest))
    np.testing.assert_allclose(among, before, atol=0.1 if lie != "a peer's" else 0.2)
    if lie == "a peer's":
        assert weights[1, -1] == weights[-1, 1] == 0
        assert weights[0, -1] == weights[0, 1] < before[0, 1]
    else:
        assert weights[:-1, -1].max() < 0.05


def weights_of(devices: tuple[str, ...], sent: list[Message]) -> np.ndarray:
    return np.array(compare.fn("edge-0", devices, sent, recipe()).weights)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (torch.full((2 * LEVELS, 16), 65_504.0), "outside -100 to 100"),
        (torch.zeros(32, 16), f"has 32 rows, expected {2 * LEVELS}"),
        (torch.zeros(2 * LEVELS, 8), "has shape"),
    ],
)
def test_a_sketch_of_another_kind_is_left_out_and_named(
    wrong: torch.Tensor, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    devices, sent = (*DEVICES, "device-04"), sketches()
    bad = forged(sketch("device-04", torch.zeros(1, 1)), {"features": wrong.half()})
    weights = weights_of(devices, [*sent, bad])
    assert weights.tolist() == weights_of(devices, sent).tolist()
    assert weights[4].tolist() == [0, 0, 0, 0, 1]
    said = capsys.readouterr().err
    assert "edge-0: device-04 is left out: " in said
    assert reason in said


def test_sets_of_another_round_edge_run_or_of_strangers_count_for_nobody() -> None:
    """Nor does a second one in a device's name, and they do not fill the quorum."""
    sent = sets()[:2]
    others = [
        replace(importance(DEVICES[2], UNIFORM), round=2),
        replace(importance(DEVICES[2], UNIFORM), receiver="edge-1"),
        replace(importance(DEVICES[2], UNIFORM), run="f" * 64),
        importance("device-07", UNIFORM),
        importance(DEVICES[0], UNIFORM),
        sketch(DEVICES[2], torch.rand(4, 4)),
    ]
    mixed = mixed_of([*sent, *others])
    assert mixed_values(mixed).keys() == set(DEVICES[:2])
    own = [receive(m)[0]["importance"].numpy() for m in sent]
    expected = (0.4 * own[0] + 0.3 * own[1]) / 0.7
    np.testing.assert_allclose(mixed_values(mixed)[DEVICES[0]], expected, rtol=1e-5)
    assert set(mixed.left_out) == {*DEVICES[2:], "device-07"}
    with pytest.raises(LinkError, match="1 of 4 devices"):
        mixed_of([sent[0], *others])


def test_what_is_kept_of_absent_peers_may_be_of_a_round_before() -> None:
    kept = [replace(importance(d, UNIFORM), round=t) for t, d in enumerate(DEVICES[1:])]
    mixed = mix.fn(Sent(1, (sets()[0],), tuple(kept)), mixing(), "importance", model(), 0.5)
    assert mixed_values(mixed).keys() == set(DEVICES[:3])


UNIFORM = torch.full((NEURONS,), 1 / NEURONS)
