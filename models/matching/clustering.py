"""Devices into clusters by how alike they are, where nobody said which edge is whose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOST = 8  # clusters that are tried where their number is not given


def clusters(attributes: Sequence[tuple[float, ...]], count: int | None = None) -> list[int]:
    """The cluster of each device; cluster 0 has the smallest first attribute (the storage limit).

    Attributes are compared as logarithms, standardised: twice the storage is as far apart on a
    small device as on a large one. Merging is by Ward's rule, which needs no seed.

    Args:
        attributes: positive numbers ``(devices, attributes)``.
        count: how many clusters; None takes the number with the best silhouette.

    Raises:
        ValueError: more clusters than devices.
    """
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.metrics import silhouette_score

    points = np.log(np.asarray(attributes, np.float64))
    spread = points.std(0)
    points = (points - points.mean(0)) / np.where(spread > 0, spread, 1)
    if count is not None and count > len(points):
        raise ValueError(f"{count} clusters of {len(points)} devices")

    def cut(number: int) -> np.ndarray:
        if number == 1:
            return np.zeros(len(points), int)
        return AgglomerativeClustering(number).fit_predict(points)

    distinct = len(np.unique(points, axis=0))
    tried = range(2, min(MOST, distinct - 1, len(points) - 1) + 1)
    if count is None:
        count = max(tried, key=lambda n: silhouette_score(points, cut(n)), default=1)
    return _in_order(cut(count), points[:, 0])


def _in_order(labels: np.ndarray, first: np.ndarray) -> list[int]:
    found = sorted(set(labels), key=lambda label: (first[labels == label].min(), label))
    return [found.index(label) for label in labels]
