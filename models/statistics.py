"""What the evaluation says about numbers from several seeds, and about recovered groups."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Student's confidence interval of the mean of independent values; None for fewer than 2."""
    from scipy.stats import ttest_1samp

    if len(values) < 2:
        return None
    with warnings.catch_warnings():  # equal values are no accident here: a fraction of few samples
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = ttest_1samp(values, 0.0).confidence_interval(level)
    return float(low), float(high)


def wilson(right: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's confidence interval of a share: ``right`` of ``count`` independent samples; all of
    0..1 where there are none."""
    from scipy.stats import binomtest

    if not count:
        return 0.0, 1.0
    low, high = binomtest(right, count).proportion_ci(level, method="wilson")
    return float(low), float(high)


SURE = 0.025
"""Of what is said to be no chance: one side of 5 %."""


def by_chance(won: ArrayLike, lost: ArrayLike) -> NDArray[np.float64]:
    """How likely at least so many samples are ``lost``, right before and wrong now, where as many
    as ``won + lost`` turned, were both models as good: the exact McNemar test, one side."""
    from scipy.stats import binom

    turned = np.asarray(won) + np.asarray(lost)
    found: NDArray[np.float64] = binom.sf(np.asarray(lost) - 1, turned, 0.5)
    return found


def confusion(labels: NDArray[np.int64], answers: NDArray[np.int64]) -> dict[int, dict[int, int]]:
    """How often each label ``(n,)`` got which answer ``(n,)``, without what never occurred."""
    counts: dict[int, dict[int, int]] = {}
    for label, answer in sorted(zip(labels.tolist(), answers.tolist(), strict=True)):
        row = counts.setdefault(label, {})
        row[answer] = row.get(answer, 0) + 1
    return counts


def rank_agreement(distances: NDArray[np.float64], groups: Sequence[int]) -> float:
    """How well pairwise distances rank pairs of one group before pairs of two (the area under the
    ROC curve): 1 perfect, 0.5 chance. NaN if there are not both kinds of pairs."""
    from sklearn.metrics import roc_auc_score

    members = np.asarray(groups)
    i, j = np.triu_indices(len(groups), 1)
    same = members[i] == members[j]
    if same.all() or not same.any():
        return float("nan")
    return float(roc_auc_score(same, -distances[i, j]))


def cluster_purity(distances: NDArray[np.float64], groups: Sequence[int]) -> float:
    """The share of members that belong to their cluster's majority group, when average linkage on
    ``distances`` is cut into as many clusters as there are groups."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform
    from sklearn.metrics.cluster import contingency_matrix

    tree = linkage(squareform(distances, checks=False), "average")
    found = fcluster(tree, len(set(groups)), "maxclust")
    return float(contingency_matrix(groups, found).max(axis=0).sum() / len(groups))
