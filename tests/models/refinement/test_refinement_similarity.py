"""How alike devices are (Eq. 19)."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from models.refinement.similarity import (
    BINS,
    RANGE,
    Distance,
    Halves,
    distances,
    jensen_shannon,
    similarity,
    wasserstein,
)

seeds = st.integers(0, 10_000)


def _sample(seed: int, count: int = 6, features: int = 3, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (count, features))


def _best_permutation(a: np.ndarray, b: np.ndarray) -> float:
    """Optimal transport between equally many points of equal weight is an assignment."""
    return min(
        sum(float(np.abs(a[i] - b[j]).sum()) for i, j in enumerate(order)) / len(a)
        for order in itertools.permutations(range(len(b)))
    )


@given(seeds)
def test_eq19_wasserstein_is_the_cheapest_of_all_permutations(seed: int):
    a, b = _sample(seed, 5), _sample(seed + 1, 5, shift=0.7)
    assert wasserstein(a, b) == pytest.approx(_best_permutation(a, b))


@given(seeds)
def test_eq19_samples_of_different_sizes_are_the_assignment_of_repeated_points(seed: int):
    a, b = _sample(seed, 4), _sample(seed + 1, 6, shift=0.7)
    left, right = np.repeat(a, 3, axis=0), np.repeat(b, 2, axis=0)
    cost = np.abs(left[:, None] - right[None]).sum(-1)
    assert wasserstein(a, b) == pytest.approx(cost[linear_sum_assignment(cost)].mean())


@given(seeds)
def test_eq19_matrix_of_similarities_literally(seed: int):
    samples = [_sample(seed + i, 4, shift=0.3 * i) for i in range(3)]
    expected = [
        [1 / (1 + (0 if i == j else _best_permutation(a, b))) for j, b in enumerate(samples)]
        for i, a in enumerate(samples)
    ]
    np.testing.assert_allclose(similarity(distances(samples)), expected)


@given(seeds, st.sampled_from([wasserstein, jensen_shannon]))
def test_distances_are_symmetric_not_negative_and_zero_to_oneself(seed, distance):
    samples = [_sample(seed + i, 4 + i) for i in range(3)]
    matrix = distances(samples, distance)
    assert (matrix == matrix.T).all()
    assert not matrix.diagonal().any()
    assert (matrix >= 0).all()
    assert distance(samples[0], samples[0]) == pytest.approx(0, abs=1e-12)
    assert distance(samples[0], samples[1]) == pytest.approx(distance(samples[1], samples[0]))
    assert ((similarity(matrix) > 0) & (similarity(matrix) <= 1)).all()


@given(seeds, st.permutations(range(4)))
def test_renaming_the_devices_renames_the_distances(seed: int, order: list[int]):
    samples = [_sample(seed + i) for i in range(4)]
    renamed = distances([samples[i] for i in order])
    np.testing.assert_allclose(renamed, distances(samples)[np.ix_(order, order)])


def _literal_jensen_shannon(a: np.ndarray, b: np.ndarray) -> float:
    width, total = (RANGE[1] - RANGE[0]) / BINS, 0.0
    for feature in range(a.shape[1]):
        p, q = [0.0] * BINS, [0.0] * BINS
        for counts, sample in ((p, a), (q, b)):
            for value in sample[:, feature]:
                bin_ = math.floor((value - RANGE[0]) / width)
                counts[min(max(bin_, 0), BINS - 1)] += 1 / len(sample)
        for x, y in zip(p, q, strict=True):
            total += x / 2 * math.log(2 * x / (x + y)) if x else 0
            total += y / 2 * math.log(2 * y / (x + y)) if y else 0
    return total / a.shape[1]


@given(seeds, st.floats(0, 6))
def test_jensen_shannon_literally(seed: int, shift: float):
    a, b = _sample(seed, 7), _sample(seed + 1, 9, shift=shift)
    assert jensen_shannon(a, b) == pytest.approx(_literal_jensen_shannon(a, b), abs=1e-12)
    assert jensen_shannon(a, b) <= math.log(2) + 1e-12


def test_jensen_shannon_counts_single_precision_values_on_the_upper_edge():
    edge = np.full((4, 2), RANGE[1], np.float32)
    assert jensen_shannon(edge, edge) == 0
    assert jensen_shannon(edge, -edge) == pytest.approx(math.log(2))


def debiased(samples: list[np.ndarray], distance: Distance = wasserstein) -> np.ndarray:
    return Halves.of(samples, distance).debiased


def test_debiased_literally():
    samples = [_sample(i, 6, shift=0.8 * i) for i in range(4)]
    halves = [(s[[0, 2, 4]], s[[1, 3, 5]]) for s in samples]
    within = [_best_permutation(*h) for h in halves]
    between = [
        [sum(_best_permutation(a, b) for a in one for b in two) / 4 for two in halves]
        for one in halves
    ]
    usual = [sorted(row[:i] + row[i + 1 :])[1] for i, row in enumerate(between)]
    found = debiased(samples)
    for i, j in itertools.combinations(range(4), 2):
        rest = max(between[i][j] - (within[i] + within[j]) / 2, 0)
        expected = rest / math.sqrt(usual[i] * usual[j])
        assert found[i, j] == found[j, i] == pytest.approx(expected)
    assert not found.diagonal().any()


lies = st.one_of(
    st.floats(-100, 100).map(lambda value: np.full((8, 3), value)),
    seeds.map(lambda seed: _sample(seed, 8, shift=3)),
    seeds.map(lambda seed: 100 * np.sign(_sample(seed, 8))),
)


@given(seeds, st.integers(3, 5), lies)
def test_one_liar_moves_what_is_between_honest_devices_by_no_more_than_they_differ(
    seed: int, honest: int, lie: np.ndarray
):
    """Among four or more: the scale of what is between two stays within the distances that honest
    devices have to each other, whatever one more says."""
    samples = [_sample(seed + i, 8, shift=0.7 * (i % 2)) for i in range(honest)]
    halves, found = Halves.of(samples), debiased([*samples, lie])
    off = ~np.eye(honest, dtype=bool)
    rows = halves.between[off].reshape(honest, -1)
    rest = (halves.between - (halves.within[:, None] + halves.within) / 2).clip(0)
    least = rest / np.sqrt(np.outer(rows.max(1), rows.max(1)))
    most = rest / np.sqrt(np.outer(rows.min(1), rows.min(1)))
    among = found[:honest, :honest]
    assert (among[off] >= least[off] - 1e-9).all()
    assert (among[off] <= most[off] + 1e-9).all()


def test_a_copy_is_found_and_no_twin_is_one():
    samples = [_sample(i, 24, 16, shift=2.0 * (i > 1)) for i in range(4)]
    assert Halves.of(samples).copied.tolist() == np.eye(4, dtype=bool).tolist()
    nearly = samples[2][::-1] + np.random.default_rng(0).normal(0, 0.01, samples[2].shape)
    found = Halves.of([*samples, nearly]).copied
    assert np.argwhere(np.triu(found, 1)).tolist() == [[2, 4]]


def test_whose_halves_are_far_apart_makes_nobody_a_copy_of_it():
    wide = np.repeat([[100.0], [-100.0]], 12, axis=0).reshape(2, 12, 1).transpose(1, 0, 2)
    samples = [_sample(i, 24, 1) for i in range(3)]
    found = Halves.of([*samples, wide.reshape(24, 1)]).copied
    assert not found[3, :3].any()


def test_debiased_of_one_device_or_of_identical_points_is_zero():
    assert debiased([_sample(0)]).tolist() == [[0]]
    assert not debiased([np.zeros((4, 3))] * 3).any()


@pytest.mark.parametrize("distance", [wasserstein, jensen_shannon])
def test_debiased_distances_of_one_distribution_are_small_at_any_sample_size(distance):
    for count in (8, 32):
        samples = [_sample(i, count, 16) for i in range(6)]
        off_diagonal = debiased(samples, distance)[~np.eye(6, dtype=bool)]
        assert 0 < off_diagonal.mean() < 0.1, "noise on both sides of the floor, not all below it"


def test_debiasing_brings_twins_as_close_as_oneself():
    samples = [_sample(i, 24, 16, shift=2.0 * (i > 1)) for i in range(4)]
    raw, rest = similarity(distances(samples)), debiased(samples)
    assert raw[0, 1] < raw[0, 0] / 5, "a finite sample's twin looks far away"
    assert similarity(rest)[0, 1] > 0.9
    assert similarity(rest)[0, 2] < 0.75


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (np.zeros((4, 2)), r"feature sample 1 has shape \(4, 2\), expected \(n, 3\)"),
        (np.zeros(3), r"feature sample 1 has shape \(3,\)"),
        (np.zeros((1, 3)), r"feature sample 1 has too few rows \(1\), needs at least 2"),
        (np.full((4, 3), np.nan), "feature sample 1 has values that are not finite"),
    ],
)
def test_samples_that_cannot_be_compared_are_refused(sample: np.ndarray, reason: str):
    with pytest.raises(ValueError, match=reason):
        distances([np.zeros((4, 3)), sample])
