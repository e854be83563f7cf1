"""What devices tell each other, by the registry of exchanges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils import parameters_to_vector

from models.header.build import build_header, neurons
from models.header.config import HeaderConfig
from models.header.split import Split
from models.refinement.basis import fit_basis, tokens_read
from models.refinement.differences import unpacked
from models.refinement.exchange import DeviceState, Received
from models.refinement.exchanges import EXCHANGES

CONFIG = HeaderConfig("mlp", dim=4, shape=(2, 2), classes=3, channels=2, hidden=5)


READS = tokens_read(CONFIG)
RECEIVED = build_header(CONFIG, 99)


def split(seed: int, count: int = 40) -> Split:
    """Samples whose classes can be told apart."""
    stream = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    features = torch.randn(count, 2, 5, 4, generator=stream)
    features[torch.arange(count), 0, 0, labels] += 3
    return Split(features, labels)


BASIS = fit_basis(split(100, 200), READS, 3)


def received() -> Received:
    header = {name: part.detach() for name, part in RECEIVED.named_parameters()}
    return Received(header, sum(neurons(RECEIVED).values()), 3, BASIS)


def state(seed: int = 0) -> DeviceState:
    header = build_header(CONFIG, seed)
    count = sum(neurons(header).values())
    importance = torch.rand(count, generator=torch.Generator().manual_seed(seed))
    return DeviceState(header, importance / importance.sum(), received(), split(seed))


@pytest.mark.parametrize("name", EXCHANGES)
def test_an_exchange_s_bodies_fit_its_parcels_and_each_who_sent_gets_one(name: str) -> None:
    exchange = EXCHANGES[name]
    states = [state(i) for i in range(3)]
    bodies = [exchange.prepare(s)[0] for s in states]
    if exchange.up is None:
        assert bodies == [{}] * 3
        return
    back = exchange.combine(bodies, np.full((3, 3), 1 / 3))
    assert len(back) == 3
    assert exchange.down is not None
    for parcel, body in [(exchange.up, b) for b in bodies] + [(exchange.down, b) for b in back]:
        assert set(body) == set(parcel.tensors)
        for tensor, schema in ((body[k], parcel.tensors[k]) for k in body):
            assert (tensor.dtype, tensor.dim()) == (schema.dtype, schema.dims)
            assert tensor.numel() <= schema.most
    assert all(exchange.check(body, received()) is None for body in bodies)


@given(st.integers(0, 1000), st.integers(2, 5))
def test_importance_is_mixed_as_eq_21_says(seed: int, devices: int) -> None:
    random = np.random.default_rng(seed)
    weights = random.random((devices, devices))
    exchange = EXCHANGES["importance"]
    states = [state(seed + i) for i in range(devices)]
    mixed = exchange.combine([exchange.prepare(s)[0] for s in states], weights)
    for n in range(devices):  # literally: sum_i w_ni Q_i
        literal = sum(weights[n, i] * states[i].importance.double() for i in range(devices))
        torch.testing.assert_close(mixed[n]["importance"], literal.float())
        assert exchange.apply(states[n], mixed[n]).ranking is mixed[n]["importance"]


@pytest.mark.parametrize("name", EXCHANGES)
def test_who_got_nothing_stays_as_it_is(name: str) -> None:
    alone = state()
    assert EXCHANGES[name].apply(alone, None) is alone or name == "importance"
    assert EXCHANGES[name].apply(alone, None).ranking is None


@pytest.mark.parametrize("bad", [torch.rand(4), torch.full((5,), -1.0), torch.zeros(5)])
def test_a_body_that_does_not_fit_the_header_is_refused(bad: torch.Tensor) -> None:
    assert EXCHANGES["importance"].check({"importance": bad}, received()) is not None


def test_weights_bring_what_was_received_and_a_mean_of_differences() -> None:
    exchange, states = EXCHANGES["weights"], [state(i) for i in range(3)]
    sent = [exchange.prepare(s) for s in states]
    headers = [parameters_to_vector(s.header.parameters()).detach() for s in states]
    base = parameters_to_vector(received().header.values())
    for (body, kept), header in zip(sent, headers, strict=True):
        torch.testing.assert_close(base + unpacked(body) + kept["left"], header)
    body = exchange.combine([body for body, _ in sent], np.eye(3))[0]
    after = parameters_to_vector(exchange.apply(states[0], body).header.parameters())
    torch.testing.assert_close(after.detach(), base + body["difference"])
    assert torch.cosine_similarity(body["difference"], unpacked(sent[0][0]), 0) > 0.999
    assert exchange.apply(states[1], None) is states[1]


def test_statistics_of_peers_alone_come_back_and_are_kept() -> None:
    exchange, states = EXCHANGES["statistics"], [state(i) for i in range(3)]
    bodies = [exchange.prepare(s)[0] for s in states]
    assert exchange.weigh is not None
    assert exchange.beside is not None
    found = exchange.weigh(bodies, received())
    assert found is not None
    apart, weights = found
    assert apart.shape == (3, 3)
    np.testing.assert_allclose(weights, np.full((3, 3), 1 / 3))
    listens = np.array([[0.5, 0.5, 0], [0, 1, 0], [0.4, 0.3, 0.3]])
    back = exchange.combine(bodies, listens)
    assert [len(body["labels"]) for body in back] == [3, 0, 6]
    assert [body["classes"].tolist() for body in back] == [[0, 3], [0], [0, 3, 3]]
    assert torch.equal(back[0]["means"], bodies[1]["means"])
    kept = exchange.apply(states[0], back[0]).kept
    virtual = exchange.beside(kept, BASIS, split(0), torch.Generator().manual_seed(0))
    assert virtual is not None
    assert virtual.labels.bincount().tolist() == [16, 11, 11]  # 14 and 13, told coarsely
    empty = exchange.apply(states[1], back[1]).kept
    assert exchange.beside(empty, BASIS, split(1), torch.Generator()) is None
    assert exchange.beside({}, BASIS, split(1), torch.Generator()) is None


def test_both_tell_statistics_until_peers_came_back_and_differences_every_time() -> None:
    exchange, states = EXCHANGES["both"], [state(i) for i in range(3)]
    assert exchange.weigh is not None
    assert exchange.beside is not None
    first = [exchange.prepare(s)[0] for s in states]
    found = exchange.weigh(first, received())
    assert found is not None
    back = exchange.combine(first, found[1])
    told = [exchange.apply(s, body) for s, body in zip(states, back, strict=True)]
    again = [exchange.prepare(s)[0] for s in told]
    for body in again:
        assert set(body) == set(EXCHANGES["weights"].up.tensors)  # type: ignore[union-attr]
        assert exchange.check(body, received()) is None
    assert exchange.weigh(again, received()) is None, "who listens to whom stays"
    assert [set(body) for body in exchange.combine(again, found[1])] == [{"difference"}] * 3
    assert exchange.weigh([again[0], *first[1:]], received()) is None, "not all tell"
    virtual = exchange.beside(told[0].kept, BASIS, split(0), torch.Generator())
    assert virtual is not None
    assert len(virtual.labels) > 20
