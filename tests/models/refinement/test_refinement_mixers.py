"""Who listens to whom."""

from __future__ import annotations

import numpy as np
import pytest

from models.refinement.aggregation import aggregate
from models.refinement.mixers import MIXERS, mixing_weights, one_voice
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


def test_copies_have_one_voice_literally():
    weights = np.array([[0.4, 0.3, 0.3], [0.2, 0.5, 0.3], [0.2, 0.3, 0.5]])
    copied = np.array([[1, 0, 0], [0, 1, 1], [0, 1, 1]], bool)
    found = one_voice(weights, copied)
    np.testing.assert_allclose(found[0], np.array([0.4, 0.15, 0.15]) / 0.7)
    np.testing.assert_allclose(found[1], np.array([0.2, 0.5, 0]) / 0.7)
    np.testing.assert_allclose(found[2], np.array([0.2, 0, 0.5]) / 0.7)
    assert one_voice(weights, np.eye(3, dtype=bool)).tolist() == weights.tolist()


@pytest.mark.parametrize("method", MIXERS)
def test_a_copied_peer_takes_no_more_than_that_peer_had(method: str):
    samples = _samples(5, size=40)
    recipe = Likeness(method, 0.1, True)
    honest = mixing_weights(recipe, samples)[1]
    weights = mixing_weights(recipe, [*samples[:4], samples[2]])[1]  # the last had its own to say
    assert weights[4, 2] == weights[2, 4] == 0
    for row in (0, 1, 3):
        voice = weights[row, 2] + weights[row, 4]
        assert weights[row, 2] == pytest.approx(weights[row, 4])
        assert voice < honest[row, 2] + honest[row, 4] + 0.05
