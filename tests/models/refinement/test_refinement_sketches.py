"""What a device shows of its data, and what it does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.refinement.similarity import wasserstein
from models.refinement.sketches import LEAST, LEVELS, SKETCHES, levels, moments, quantiles

DENSE = [name for name, sketch in SKETCHES.items() if sketch.rows]
seeds = st.integers(0, 10_000)


def _features(seed: int, count: int, dim: int = 3) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def _stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("count", [2 * LEAST, 23, 400])
@pytest.mark.parametrize("name", DENSE)
def test_its_rows_are_as_many_however_many_samples_there_are(name: str, count: int) -> None:
    found = SKETCHES[name].make(_features(0, count), 32, _stream())
    assert found is not None
    assert found.shape == (SKETCHES[name].rows, 3)


@pytest.mark.parametrize("name", DENSE)
def test_too_few_samples_are_not_told_of(name: str) -> None:
    assert SKETCHES[name].make(_features(0, 2 * LEAST - 1), 32, _stream()) is None


def test_samples_are_samples() -> None:
    features = _features(0, 50)
    found = SKETCHES["samples"].make(features, 8, _stream())
    assert found is not None
    assert len(found) == 8
    assert all((features == row).all(1).any() for row in found)


@given(seeds, st.integers(LEAST, 120))
def test_no_level_is_of_less_than_the_least_samples_literally(seed: int, count: int) -> None:
    half = _features(seed, count, 2)
    steps = max(s for s in (1, 2, 4) if s == 1 or count // s >= LEAST)
    for feature in range(2):
        ordered = sorted(half[:, feature].tolist())
        groups = np.array_split(ordered, steps)
        assert all(len(group) >= LEAST for group in groups)
        expected = [np.mean(group) for group in groups for _ in range(LEVELS // steps)]
        np.testing.assert_allclose(levels(half)[:, feature], expected, atol=1e-6)


def test_moments_are_the_means_and_deviations_of_two_halves() -> None:
    features = _features(0, 40)
    found = moments(features, 32, _stream(3))
    order = torch.randperm(40, generator=_stream(3)).tolist()
    assert found is not None
    for at, half in enumerate((order[0::2], order[1::2])):
        low, high = found[at::2].numpy()
        of_half = features[half].numpy()
        np.testing.assert_allclose((low + high) / 2, of_half.mean(0), atol=1e-6)
        np.testing.assert_allclose((high - low) / 2, of_half.std(0), atol=1e-6)


@given(seeds, st.floats(-2, 2))
def test_between_halves_the_distance_is_the_sliced_one_and_below_that_of_samples(
    seed: int, shift: float
) -> None:
    """Along the features' axes; a quantile function's mean over a step is no farther apart than the
    function is."""
    a, b = _features(seed, LEAST * LEVELS, 4), _features(seed + 1, LEAST * LEVELS, 4) + shift
    of_a, of_b = levels(a).numpy(), levels(b).numpy()
    sliced = sum(np.abs(of_a[:, f] - of_b[:, f]).mean() for f in range(4))
    assert wasserstein(of_a, of_b) == pytest.approx(sliced, abs=1e-5)
    assert sliced <= wasserstein(a.numpy(), b.numpy()) + 1e-5


@given(seeds, st.permutations(range(60)))
def test_whose_value_goes_with_whose_is_not_told(seed: int, order: list[int]) -> None:
    """A feature's values may be dealt to the samples of a half in any way."""
    half = _features(seed, 60, 2)
    dealt = torch.stack([half[:, 0], half[order, 1]], 1)
    torch.testing.assert_close(levels(dealt), levels(half))


def test_the_halves_are_of_different_samples() -> None:
    features = torch.eye(40)  # each sample has a feature of its own
    found = quantiles(features, 32, _stream())
    assert found is not None
    assert not (found[0::2].sum(0) * found[1::2].sum(0)).any()
    assert (found.sum(0) > 0).all(), "all samples are in it"
