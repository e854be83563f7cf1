"""Which of its models a device ships."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from math import sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.refinement.rounds import BEYOND, choose, is_better, shipped


@dataclass(frozen=True)
class Judged:
    share: Tensor


def judged(share: float) -> Judged:
    """So much for the class of each of 40 samples, more or less."""
    return Judged(share + 0.05 * torch.sin(torch.arange(40.0)))


def test_what_was_refined_ships_where_it_is_better_than_what_was_received():
    received, refined = judged(0.2), judged(0.6)
    assert choose(received, refined) is refined
    assert choose(received, refined, judged(0.5)) is refined
    noisy = Judged(received.share + 0.01 + 0.2 * torch.cos(torch.arange(40.0) * 3))
    assert noisy.share.mean() > received.share.mean()
    assert not is_better(noisy, received)
    assert choose(received, noisy) is noisy, "on the mean: few samples prove nothing"


def test_what_was_received_ships_where_nothing_is_better():
    received = judged(0.5)
    assert choose(received, judged(0.4), judged(0.45)) is received
    assert choose(received, judged(0.5)) is received, "as good is not better"
    none = Judged(torch.empty(0))
    assert choose(none, Judged(torch.empty(0))) is none, "nothing to judge by"


def test_alone_ships_only_where_it_is_surely_better_than_with_peers():
    received, refined = judged(0.2), judged(0.6)
    noisy = Judged(refined.share + 0.01 + 0.2 * torch.cos(torch.arange(40.0) * 3))
    assert noisy.share.mean() > refined.share.mean()
    assert choose(received, refined, noisy) is refined
    better = judged(0.7)
    assert choose(received, refined, better) is better, "as where a peer lies"


def test_by_one_sample_nothing_is_told():
    assert not is_better(Judged(torch.tensor([1.0])), Judged(torch.tensor([0.0])))


@given(st.data(), st.integers(2, 12))
def test_it_is_the_paired_difference_over_its_standard_error(data: st.DataObject, count: int):
    several = st.lists(st.floats(0, 1, width=32), min_size=count, max_size=count)
    one, other = data.draw(several), data.draw(several)
    more = [a - b for a, b in zip(one, other, strict=True)]
    lead = statistics.mean(more) - BEYOND * statistics.stdev(more) / sqrt(count)
    if abs(lead) > 1e-5:  # rounding decides nothing
        found = is_better(Judged(torch.tensor(one)), Judged(torch.tensor(other)))
        assert found == (lead > 0)


@dataclass(frozen=True)
class State:
    ships: bool


def test_the_state_that_ships_is_the_one_that_says_so():
    assert shipped([State(False), State(True), State(False)]) == 1
    with pytest.raises(ValueError, match="said to ship"):
        shipped([State(False)])
