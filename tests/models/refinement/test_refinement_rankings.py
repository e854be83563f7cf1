"""By what neurons are ranked."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from models.header.build import build_header, neurons, prunable_layers
from models.header.config import HeaderConfig
from models.header.split import Split
from models.refinement.expected import OF_MISSING, OF_SEEN, PAYS, expected_gain
from models.refinement.rankings import RANKINGS, Ranked

CONFIG = HeaderConfig("mlp", dim=4, shape=(2, 2), classes=3, channels=2, hidden=6)


def given(seed: int = 0) -> Ranked:
    stream = torch.Generator().manual_seed(seed)
    header = build_header(CONFIG, seed)
    with torch.no_grad():  # it starts at 0
        for parameter in header.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream))
    data = Split(torch.randn(12, 2, 5, 4, generator=stream), torch.arange(12) % 3)
    count = sum(neurons(header).values())
    return Ranked(header, data, None, torch.rand(count, generator=stream), seed)


@pytest.mark.parametrize("name", RANKINGS)
def test_a_ranking_has_a_number_a_neuron_and_none_below_0(name: str) -> None:
    of = given()
    found = RANKINGS[name](of)
    assert found.shape == of.importance.shape
    assert (found >= 0).all()
    assert torch.equal(found, RANKINGS[name](of)), "the same every time"


def test_importance_is_what_training_accumulated() -> None:
    of = given()
    assert RANKINGS["importance"](of) is of.importance


def test_magnitude_is_the_root_mean_square_of_a_neuron_s_parameters() -> None:
    of = given()
    literal = [
        (sum(w**2 for w in [*layer.weight[i].flatten().tolist(), layer.bias[i].item()])
         / (layer.weight[i].numel() + 1)) ** 0.5
        for _, layer in prunable_layers(of.header)
        for i in range(layer.out_features)
    ]  # fmt: skip
    assert RANKINGS["magnitude"](of).tolist() == pytest.approx(literal, rel=1e-5)


def test_first_order_is_what_the_loss_changes_when_a_neuron_goes() -> None:
    of = given()
    F.cross_entropy(of.header(*of.data.inputs), of.data.labels).backward()
    changes = []
    for _, layer in prunable_layers(of.header):
        assert layer.weight.grad is not None
        assert layer.bias.grad is not None
        by_weight = (layer.weight * layer.weight.grad).flatten(1).sum(1)
        changes.append((by_weight + layer.bias * layer.bias.grad) ** 2)
    literal = torch.cat(changes).detach()
    torch.testing.assert_close(RANKINGS["first-order"](of), literal / literal.sum())


def test_chance_is_another_with_another_seed() -> None:
    of = given()
    assert not torch.equal(RANKINGS["random"](of), RANKINGS["random"](replace(of, seed=1)))


def train(each: int, wanted: int) -> Split:
    labels = torch.arange(3).repeat_interleave(each)
    lacks = torch.arange(3, 3 + wanted) if wanted else None
    return Split(torch.zeros(len(labels), 2, 5, 4), labels, None, lacks)


def test_a_device_expects_more_where_it_has_less() -> None:
    assert expected_gain(train(4, 0)) == pytest.approx(OF_SEEN / 4)
    assert expected_gain(train(4, 3)) == pytest.approx((OF_SEEN / 4 + OF_MISSING) / 2)
    assert expected_gain(train(60, 0)) < PAYS < expected_gain(train(12, 0))
    assert expected_gain(train(60, 1)) > PAYS
