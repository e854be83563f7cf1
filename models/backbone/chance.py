"""Whether a classifier is shown to do better than one that has learned nothing."""

from __future__ import annotations

import torch
from torch import Tensor

LEVEL = 0.01
"""How seldom luck may pass for learning."""


def chance_accuracy(labels: Tensor) -> float:
    """What always answering the most frequent class reaches on labels ``(n,)``: at least 1 over
    the number of classes."""
    return float(torch.bincount(labels).max() / len(labels))


def better(one: Tensor, other: Tensor, level: float = LEVEL) -> bool:
    """Whether one classifier is shown to be right more often than another on the same samples:
    which of them each has right ``(n,)``. Where only one of two equally good ones is right, it is
    either with the probability 1/2 (McNemar's exact test, one-sided)."""
    from scipy.stats import binom

    alone, otherwise = int((one & ~other).sum()), int((other & ~one).sum())
    return bool(binom.sf(alone - 1, alone + otherwise, 0.5) < level)


def above_chance(accuracy: float, labels: Tensor, level: float = LEVEL) -> bool:
    """Whether an accuracy on labels ``(n,)`` is shown to be more than luck: a model that is right
    with the probability :func:`chance_accuracy` would reach it with a probability below ``level``
    (one-sided binomial test). If not, that may be for want of samples."""
    from scipy.stats import binom

    right = round(accuracy * len(labels))
    return bool(binom.sf(right - 1, len(labels), chance_accuracy(labels)) < level)
