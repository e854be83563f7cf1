"""The test split of samples that have none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasks.data.dataset import Images, Labels, Wanted, content_hashes


def tested(total: int, fraction: float) -> int:
    """How many images of a class are for the test."""
    return min(max(1, round(fraction * total)), total - 1) if total else 0


def seeded_test(images: Images, labels: Labels, wanted: Wanted) -> NDArray[np.bool_]:
    """A test split per class, by content: the order and names of the files do not matter."""
    order = np.argsort(content_hashes(images), kind="stable")
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        shuffled = np.random.default_rng([wanted.seed, int(label)]).permutation(members)
        chosen[shuffled[: tested(len(members), wanted.test_fraction)]] = True
    return chosen
