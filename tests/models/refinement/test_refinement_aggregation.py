"""Who listens to whom and what they get (Eq. 20-21)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.refinement.aggregation import (
    aggregate,
    check_set,
    restrict,
    row_weights,
)

similarities = st.integers(1, 5).flatmap(lambda n: arrays(float, (n, n), elements=st.floats(0, 1)))
temperatures = st.sampled_from([1e-320, 1e-200, 1e-12, 1e-3, 0.1, 1.0, 50.0, 1e200])


@given(similarities, st.floats(0.02, 5))
def test_eq20_literally(similar: np.ndarray, temperature: float):
    count = len(similar)
    for i in range(count):
        bar = [math.sqrt(similar[i][j] * similar[j][i]) / temperature for j in range(count)]
        total = sum(math.exp(value) for value in bar)
        for j in range(count):
            expected = math.exp(bar[j]) / total
            assert row_weights(similar, temperature)[i, j] == pytest.approx(expected)


def test_eq20_paper_is_temperature_one():
    similar = np.array([[1, 0.25], [0.25, 1]])
    expected = math.e / (math.e + math.exp(0.25))
    assert row_weights(similar)[0, 0] == pytest.approx(expected)


@given(similarities, temperatures)
def test_rows_sum_to_one_at_any_temperature(similar: np.ndarray, temperature: float):
    weights = row_weights(similar, temperature)
    assert np.isfinite(weights).all()
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1)


def test_a_tiny_temperature_listens_to_the_most_alike_only():
    similar = np.array([[1, 1, 0.9], [1, 1, 0.9], [0.9, 0.9, 1]])
    expected = [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]
    np.testing.assert_allclose(row_weights(similar, 1e-320), expected)


@given(similarities.filter(lambda w: len(w) > 1), temperatures, st.randoms())
def test_renaming_the_devices_renames_the_weights(similar, temperature, random):
    order = random.sample(range(len(similar)), len(similar))
    renamed = row_weights(similar[np.ix_(order, order)], temperature)
    np.testing.assert_allclose(renamed, row_weights(similar, temperature)[np.ix_(order, order)])


@pytest.mark.parametrize("temperature", [0, -1, math.nan])
def test_a_temperature_that_is_not_positive_is_refused(temperature: float):
    with pytest.raises(ValueError, match="temperature must be positive"):
        row_weights(np.eye(2), temperature)


@given(similarities, st.integers(1, 6), st.integers(0, 1000))
def test_eq21_literally_and_between_the_extremes(similar: np.ndarray, neurons: int, seed: int):
    count = len(similar)
    weights = row_weights(similar, 0.3)
    sets = np.random.default_rng(seed).random((count, neurons))
    mixed = aggregate(sets, weights)
    for n in range(count):
        for r in range(neurons):
            expected = sum(weights[n][i] * sets[i][r] for i in range(count))
            assert mixed[n, r] == pytest.approx(expected)
    assert (mixed >= sets.min(axis=0) - 1e-12).all()
    assert (mixed <= sets.max(axis=0) + 1e-12).all()


@given(similarities, st.data())
def test_absent_devices_get_no_weight_and_the_rest_keep_their_proportions(similar, data):
    count = len(similar)
    present = sorted(data.draw(st.sets(st.integers(0, count - 1))))
    full = row_weights(similar, 0.5)
    kept = restrict(full, present)
    assert kept.shape == (len(present), len(present))
    for a, i in enumerate(present):
        among = sum(full[i, j] for j in present)
        for b, j in enumerate(present):
            assert kept[a, b] == pytest.approx(full[i, j] / among)


def test_who_listened_to_absent_devices_only_is_alone():
    weights = np.array([[0, 1, 0], [0, 1, 0], [0.5, 0, 0.5]])
    np.testing.assert_array_equal(restrict(weights, [0, 2]), [[1, 0], [0.5, 0.5]])


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.full(3, 1 / 3), None),
        (np.array([1e-30, 0, 1], np.float32), None),
        (np.ones(3), "sums to 3, not to 1"),
        (np.ones(4), "has shape (4,), expected (3,)"),
        (np.ones((1, 3)), "has shape (1, 3), expected (3,)"),
        (np.array(1.0), "has shape (), expected (3,)"),
        (np.array(["a", "b", "c"]), "holds <U1, expected floating-point numbers"),
        (np.array([1, np.nan, 1]), "has values that are not finite"),
        (np.array([1, np.inf, 1]), "has values that are not finite"),
        (np.array([1, -1e-9, 1]), "has negative values"),
        (np.zeros(3), "is all zero"),
    ],
)
def test_malformed_sets_are_refused_with_the_reason(values: np.ndarray, reason: str | None):
    assert check_set(values, 3) == reason


def test_the_empty_set_of_a_header_without_prunable_neurons_is_usable():
    assert check_set(np.zeros(0, np.float32), 0) is None
    assert aggregate(np.zeros((2, 0)), np.eye(2)).shape == (2, 0)
