"""What a device shows of its data so that those alike can be found (Eq. 19): the registry of
sketches.

A sketch is a few points in the space of standardised features, whatever they are made of, so that
one distance compares them all. Its even rows are of one half of the device's samples and its odd
rows of the other: how far these are apart tells what chance alone brings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

LEVELS = 4
"""Quantiles of a half: 8 and 16 recovered no more contexts."""
LEAST = 5
"""Samples behind every number that is sent, unless these are samples."""

Make = Callable[[Tensor, int, torch.Generator], Tensor | None]
"""Features ``(n, features)``, how many of them may be shown, and a stream -> the sketch
``(rows, features)``, or None where there are too few to say anything."""


@dataclass(frozen=True)
class Sketch:
    """A kind of sketch: how it is made, how many rows it has (None: it varies), and what it
    reveals, for a person."""

    make: Make
    rows: int | None
    reveals: str


def samples(features: Tensor, count: int, stream: torch.Generator) -> Tensor | None:
    """Some of the samples as they are: Eq. 19 to the letter."""
    return features[torch.randperm(len(features), generator=stream)[:count]]


def quantiles(features: Tensor, count: int, stream: torch.Generator) -> Tensor | None:
    """Of every feature by itself, its :data:`LEVELS` quantiles in either half of all the samples.

    As points they are sorted alike in every feature, so that the 1-Wasserstein distance with L1
    ground cost between two such halves is the sum over the features of that between quantile
    functions: the sliced one, along the features' axes, which is never above Eq. 19's.
    """
    return _of_halves(features, stream, levels)


def moments(features: Tensor, count: int, stream: torch.Generator) -> Tensor | None:
    """Of every feature by itself, in either half of all the samples, the two points that have its
    mean and standard deviation."""
    return _of_halves(features, stream, _two_points)


def levels(half: Tensor) -> Tensor:
    """The quantile functions of ``(n, features)`` in :data:`LEVELS` equal steps, each its mean over
    the step. Where a step would hold less than :data:`LEAST` samples, steps are joined: no number
    is a sample's, and none is found by subtraction."""
    steps = LEVELS
    while len(half) < LEAST * steps:
        steps //= 2
    parts = half.sort(0).values.tensor_split(steps)
    return torch.stack([part.mean(0) for part in parts]).repeat_interleave(LEVELS // steps, 0)


def _two_points(half: Tensor) -> Tensor:
    mean, std = half.mean(0), half.std(0, correction=0)
    return torch.stack([mean - std, mean + std])


def _of_halves(
    features: Tensor, stream: torch.Generator, points: Callable[[Tensor], Tensor]
) -> Tensor | None:
    """Points of two disjoint halves in turn; None where a half has less than :data:`LEAST`."""
    order = torch.randperm(len(features), generator=stream)
    halves = [features[order[0::2]], features[order[1::2]]]
    if len(halves[1]) < LEAST:
        return None
    return torch.stack([points(half) for half in halves], 1).flatten(0, 1)


SKETCHES: dict[str, Sketch] = {
    "quantiles": Sketch(quantiles, 2 * LEVELS, "how each of its features is distributed"),
    "moments": Sketch(moments, 4, "mean and spread of each of its features"),
    "samples": Sketch(samples, None, "some of its samples, as the backbone sees them"),
}
