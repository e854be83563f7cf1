"""Who listens to whom (Eq. 19-20): the registry of mixers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.choices import chosen
from models.refinement.aggregation import row_weights
from models.refinement.recipe import Likeness
from models.refinement.similarity import (
    Distance,
    Matrix,
    Samples,
    debiased,
    distances,
    jensen_shannon,
    similarity,
    wasserstein,
)

PROPORTION = 4


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
    used = debiased(samples, mixer.distance) if recipe.debias else matrix
    return matrix, mixer.weigh(used, recipe.temperature)


def out_of_proportion(recipe: Likeness, samples: Sequence[Samples], matrix: Matrix) -> list[int]:
    """Which of three or more samples are no measure for the others: a sample's halves, or it and
    its nearest peer, are :data:`PROPORTION` times farther apart than at the median, or closer.

    Args:
        matrix: the distances of the samples by :func:`mixing_weights`.
    """
    if len(samples) < 3:
        return []
    distance = MIXERS[recipe.method].distance
    halves = np.array([distance(s[0::2], s[1::2]) for s in samples])
    nearest = np.min(matrix + np.diag(np.full(len(matrix), np.inf)), axis=1)
    return sorted({i for found in (halves, nearest) for i in _odd(found)})


def _odd(values: NDArray[np.float64]) -> Iterable[int]:
    middle = np.median(values)
    return np.flatnonzero((values > PROPORTION * middle) | (values * PROPORTION < middle)).tolist()
