"""A model at chance is told from one that learned something, by how many samples say so."""

from __future__ import annotations

from math import comb

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.backbone.chance import LEVEL, above_chance, chance_accuracy


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.data())
def test_the_bound_is_the_binomial_s(labels: list[int], data: st.DataObject) -> None:
    n, right = len(labels), data.draw(st.integers(0, len(labels)))
    p = max(labels.count(label) for label in set(labels)) / n
    tail = sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(right, n + 1))
    if abs(tail - LEVEL) > 1e-6:  # chance is kept in single precision
        assert above_chance(right / n, torch.tensor(labels)) == (tail < LEVEL)


@pytest.mark.parametrize(
    ("accuracy", "samples", "above"),
    [(0.027, 380, False), (0.04, 380, True), (0.04, 60, False), (0.5, 60, True), (0.0, 60, False)],
)
def test_few_samples_say_less(accuracy: float, samples: int, above: bool) -> None:
    labels = torch.arange(samples) % 60
    assert chance_accuracy(labels) == pytest.approx(-(-samples // 60) / samples)
    assert above_chance(accuracy, labels) == above


def test_always_the_most_frequent_class_is_chance() -> None:
    labels = torch.tensor([0] * 90 + [1] * 10)
    assert chance_accuracy(labels) == pytest.approx(0.9)
    assert not above_chance(0.9, labels)
    assert above_chance(0.98, labels)
