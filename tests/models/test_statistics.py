"""Intervals over seeds, and how well groups are recovered."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.statistics import by_chance, cluster_purity, confusion, interval, rank_agreement, wilson


def test_the_interval_is_student_s() -> None:
    values = [1.0, 2.0, 4.0]
    mean = sum(values) / 3
    deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / 2)
    reach = 4.302652729911275 * deviation / math.sqrt(3)  # t of 2 degrees of freedom, 97.5 %
    assert interval(values) == pytest.approx((mean - reach, mean + reach))


def test_one_seed_has_no_interval() -> None:
    assert interval([0.3]) is None


@given(st.integers(0, 10_000))
def test_rank_agreement_counts_pairs_in_the_right_order(seed: int) -> None:
    stream = np.random.default_rng(seed)
    groups = [0, 0, 1, 1, 1]
    matrix = stream.integers(0, 4, (5, 5)).astype(float)
    matrix = matrix + matrix.T
    near = [matrix[i, j] for i in range(5) for j in range(i) if groups[i] == groups[j]]
    far = [matrix[i, j] for i in range(5) for j in range(i) if groups[i] != groups[j]]
    literal = [1.0 if a < b else 0.5 if a == b else 0.0 for a in near for b in far]
    assert rank_agreement(matrix, groups) == pytest.approx(sum(literal) / len(literal))


@given(st.integers(0, 12), st.integers(0, 12))
def test_what_is_lost_by_chance_is_counted_out(won: int, lost: int) -> None:
    turned = won + lost
    ways = sum(math.comb(turned, many) for many in range(lost, turned + 1))
    assert by_chance([won], [lost])[0] == pytest.approx(ways / 2**turned)


def test_groups_that_lie_apart_are_recovered() -> None:
    groups = [0, 1, 0, 1, 2]
    apart = np.array([[float(a != b) for a in groups] for b in groups])
    assert rank_agreement(apart, groups) == 1
    assert cluster_purity(apart, groups) == 1
    swapped = np.array([[float(a != b) for a in [0, 0, 1, 1, 2]] for b in [0, 0, 1, 1, 2]])
    assert cluster_purity(swapped, groups) == pytest.approx(3 / 5)


def test_without_both_kinds_of_pairs_there_is_no_agreement() -> None:
    assert math.isnan(rank_agreement(np.zeros((2, 2)), [0, 0]))


def test_wilson_s_interval_is_the_textbook_s() -> None:
    """Literal: Wilson (1927), the roots of (p - s)^2 = z^2 s (1 - s) / n."""
    z = 1.959963984540054
    for right, count in ((0, 10), (78, 100), (100, 100)):
        p = right / count
        middle = (p + z**2 / (2 * count)) / (1 + z**2 / count)
        half = z / (1 + z**2 / count) * (p * (1 - p) / count + z**2 / (4 * count**2)) ** 0.5
        assert wilson(right, count) == pytest.approx((middle - half, middle + half), abs=1e-9)
    assert wilson(0, 0) == (0.0, 1.0)


def test_confusion_counts_each_pair_of_label_and_answer() -> None:
    labels, answers = np.array([2, 0, 0, 2, 0]), np.array([2, 0, 1, 2, 0])
    assert confusion(labels, answers) == {0: {0: 2, 1: 1}, 2: {2: 2}}
