"""What devices tell each other, by the registry of exchanges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.header.build import build_header, neurons
from models.header.config import HeaderConfig
from models.refinement.exchange import DeviceState
from models.refinement.exchanges import EXCHANGES

CONFIG = HeaderConfig("mlp", dim=4, shape=(2, 2), classes=3, channels=2, hidden=5)


def state(seed: int = 0) -> DeviceState:
    header = build_header(CONFIG, seed)
    count = sum(neurons(header).values())
    importance = torch.rand(count, generator=torch.Generator().manual_seed(seed))
    return DeviceState(header, importance / importance.sum())


@pytest.mark.parametrize("name", EXCHANGES)
def test_an_exchange_s_bodies_fit_its_parcels_and_each_who_sent_gets_one(name: str) -> None:
    exchange = EXCHANGES[name]
    states = [state(i) for i in range(3)]
    bodies = [exchange.prepare(s) for s in states]
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
    assert all(exchange.check(body, len(states[0].importance)) is None for body in bodies)


@given(st.integers(0, 1000), st.integers(2, 5))
def test_importance_is_mixed_as_eq_21_says(seed: int, devices: int) -> None:
    random = np.random.default_rng(seed)
    weights = random.random((devices, devices))
    exchange = EXCHANGES["importance"]
    states = [state(seed + i) for i in range(devices)]
    mixed = exchange.combine([exchange.prepare(s) for s in states], weights)
    for n in range(devices):  # literally: sum_i w_ni Q_i
        literal = sum(weights[n, i] * states[i].importance.double() for i in range(devices))
        torch.testing.assert_close(mixed[n]["importance"], literal.float())
        assert exchange.apply(states[n], mixed[n]).ranking is mixed[n]["importance"]


def test_who_got_nothing_keeps_its_neurons_unless_nothing_is_exchanged() -> None:
    alone = state()
    assert EXCHANGES["importance"].apply(alone, None).ranking is None
    assert EXCHANGES["none"].apply(alone, None).ranking is alone.importance


@pytest.mark.parametrize("bad", [torch.rand(4), torch.full((5,), -1.0), torch.zeros(5)])
def test_a_body_that_does_not_fit_the_header_is_refused(bad: torch.Tensor) -> None:
    assert EXCHANGES["importance"].check({"importance": bad}, 5) is not None
