"""Who listens to whom."""

from __future__ import annotations

import numpy as np
import pytest

from models.refinement.aggregation import aggregate
from models.refinement.mixers import MIXERS, mixing_weights
from models.refinement.recipe import Likeness


def _samples(count: int = 4, size: int = 12, features: int = 8) -> list[np.ndarray]:
    """Devices 0, 1 alike and the others alike."""
    generator = np.random.default_rng(0)
    return [generator.normal(2.0 * (i > 1), 1, (size, features)) for i in range(count)]


@pytest.mark.parametrize("method", MIXERS)
@pytest.mark.parametrize("debias", [True, False])
def test_every_method_gives_rows_that_sum_to_one(method: str, debias: bool):
    matrix, weights = mixing_weights(Likeness(method, 0.1, debias), _samples())
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (weights >= 0).all()
    assert (matrix == matrix.T).all()


def test_average_makes_all_equal():
    sets = np.random.default_rng(1).random((4, 7))
    average = mixing_weights(Likeness("average", 1.0, False), _samples())[1]
    np.testing.assert_allclose(aggregate(sets, average), np.tile(sets.mean(axis=0), (4, 1)))


@pytest.mark.parametrize("method", ["js", "wasserstein"])
def test_alike_devices_listen_to_each_other(method: str):
    _, weights = mixing_weights(Likeness(method, 0.1, True), _samples(size=40))
    assert (weights[:2, :2] > 3 * weights[:2, 2:].max()).all()
    assert (weights[2:, 2:] > 3 * weights[2:, :2].max()).all()


def test_one_device_listens_to_itself():
    for method in MIXERS:
        _, weights = mixing_weights(Likeness(method, 0.1, True), _samples(1))
        np.testing.assert_allclose(weights, [[1]])


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match="unknown method 'best': choose one of average, js"):
        mixing_weights(Likeness("best", 1.0, False), _samples())
