"""Which of its models a device ships."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.refinement.rounds import BEYOND, choose, is_better, shipped


@dataclass(frozen=True)
class Judged:
    right: Tensor = field(compare=False)
    parameters: int = 10
    loss: float = 1.0


def judged(count: int, parameters: int = 10, loss: float = 1.0) -> Judged:
    """The first ``count`` of 40 samples are right."""
    return Judged(torch.arange(40) < count, parameters, loss)


def test_most_samples_right_then_fewer_parameters_then_lower_loss():
    received = judged(10)
    assert choose(received, [judged(30), judged(29)]) == judged(30)
    better = [judged(30), judged(30, 8), judged(30, 9)]
    assert choose(received, better) is better[1]
    equal = [judged(30, 8, 0.9), judged(30, 8, 0.8)]
    assert choose(received, equal) is equal[1]


def test_what_was_received_ships_where_nothing_is_surely_better():
    received = judged(20)
    assert choose(received, [judged(21)]) is received, "one sample is no evidence"
    assert choose(received, [judged(20, 5)]) is received
    assert choose(received, []) is received


def test_a_lead_counts_by_the_samples_on_which_the_two_differ():
    received = Judged(torch.tensor([True] * 10 + [False] * 30))
    lead = torch.tensor([True] * 14 + [False] * 26)
    assert is_better(Judged(lead), received)
    shuffled = torch.tensor([False] * 10 + [True] * 14 + [False] * 16)
    assert not is_better(Judged(shuffled), received), "it is right on others: 14 gained, 10 lost"


rights = st.lists(st.booleans(), min_size=12, max_size=12).map(torch.tensor)


@given(st.lists(st.builds(Judged, rights, st.integers(1, 3), st.floats(0, 2)), min_size=1))
def test_never_fewer_right_than_what_was_received_and_beyond_its_noise(models: list[Judged]):
    received, *others = models
    found = choose(received, others)
    if found is received:
        return
    gained = int((found.right & ~received.right).sum())
    lost = int((received.right & ~found.right).sum())
    assert gained - lost > BEYOND * sqrt(gained + lost)
    assert found.right.sum() == max(of.right.sum() for of in models)


@dataclass(frozen=True)
class State:
    ships: bool


def test_the_state_that_ships_is_the_one_that_says_so():
    assert shipped([State(False), State(True), State(False)]) == 1
    with pytest.raises(ValueError, match="said to ship"):
        shipped([State(False)])
