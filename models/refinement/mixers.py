"""Who listens to whom (Eq. 19-20): the registry of mixers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.choices import chosen
from models.refinement.aggregation import row_weights
from models.refinement.recipe import Likeness
from models.refinement.similarity import (
    Distance,
    Halves,
    Matrix,
    Samples,
    distances,
    jensen_shannon,
    similarity,
    wasserstein,
)


@dataclass(frozen=True)
class Mixer:
    """A way to say who listens to whom: ``distance`` compares two devices' samples; ``weigh`` makes
    mixing weights ``(devices, devices)``, rows summing to 1, of all distances and a temperature."""

    distance: Distance
    weigh: Callable[[Matrix, float], Matrix]


def by_similarity(matrix: Matrix, temperature: float) -> Matrix:
    """Eq. 19 and 20: the more alike, the more."""
    return row_weights(similarity(matrix), temperature)


def to_all_alike(matrix: Matrix, temperature: float) -> Matrix:
    """Everybody listens to everybody alike."""
    return np.full(matrix.shape, 1 / len(matrix))


def to_itself(matrix: Matrix, temperature: float) -> Matrix:
    """Everybody listens to itself."""
    return np.eye(len(matrix))


MIXERS: dict[str, Mixer] = {
    "average": Mixer(wasserstein, to_all_alike),  # its distances are for comparison
    "js": Mixer(jensen_shannon, by_similarity),
    "itself": Mixer(wasserstein, to_itself),
    "wasserstein": Mixer(wasserstein, by_similarity),
}


def mixing_weights(recipe: Likeness, samples: Sequence[Samples]) -> tuple[Matrix, Matrix]:
    """Distances and mixing weights ``(devices, devices)``; every row of the weights sums to 1.

    Raises:
        ValueError: unknown method, or samples that cannot be compared.
    """
    mixer = chosen("method", recipe.method, MIXERS)
    matrix = distances(samples, mixer.distance)
    halves = Halves.of(samples, mixer.distance)
    weights = mixer.weigh(halves.debiased if recipe.debias else matrix, recipe.temperature)
    return matrix, one_voice(weights, halves.copied)


def one_voice(weights: Matrix, copied: NDArray[np.bool_]) -> Matrix:
    """Weights in which all who show the same have the voice of one, and none with each other: who
    copies a peer gains nothing with it, and shares its weight with others.

    Args:
        copied: who shows what whom shows ``(devices, devices)``, with a true diagonal.
    """
    voices = np.where(copied, 0, weights / copied.sum(0))
    np.fill_diagonal(voices, weights.diagonal())
    total = voices.sum(1, keepdims=True)
    return np.divide(voices, total, out=np.eye(len(weights)), where=total > 0)
