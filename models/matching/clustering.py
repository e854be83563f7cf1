"""Devices into clusters by how alike they are, where nobody said which edge is whose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MOST = 8  # clusters that are tried where their number is not given


def clusters(attributes: Sequence[tuple[float, ...]], count: int | None = None) -> list[int]:
    """The cluster of each device; cluster 0 has the smallest first attribute (the storage limit).

    Attributes are compared as logarithms, standardised: twice the storage is as far apart on a
    small device as on a large one. Merging is by Ward's rule, which needs no seed, on devices in
    order of their attributes, so that the order in which they come does not matter.

    Args:
        attributes: positive numbers ``(devices, attributes)``.
        count: how many clusters; None takes the number with the best silhouette.

    Raises:
        ValueError: more clusters than devices, or less than one.
    """
    values = np.asarray(attributes, np.float64)
    if count is not None and not 1 <= count <= len(values):
        raise ValueError(f"{count} clusters of {len(values)} devices")
    order = np.lexsort(values.T[::-1])
    points = _standardised(np.log(values[order]))
    labels = _cut(points, count or _best_count(points))
    found = list(dict.fromkeys(labels.tolist()))  # by their smallest device
    result = np.empty(len(values), int)
    result[order] = [found.index(label) for label in labels]
    return result.tolist()


def _best_count(points: NDArray[np.float64]) -> int:
    """The number of clusters with the best silhouette; 1 where there is nothing to tell apart."""
    from sklearn.metrics import silhouette_score

    most = min(MOST, len(np.unique(points, axis=0)), len(points) - 1)
    return max(
        range(2, most + 1), key=lambda n: silhouette_score(points, _cut(points, n)), default=1
    )


def _cut(points: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    from sklearn.cluster import AgglomerativeClustering

    if count == 1:
        return np.zeros(len(points), np.int64)
    return AgglomerativeClustering(count).fit_predict(points)


def _standardised(points: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = points.std(0)
    return (points - points.mean(0)) / np.where(spread > 0, spread, 1)
