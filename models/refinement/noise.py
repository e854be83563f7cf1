"""Noise on what a device says of its data, where its owner asks for some."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from models.refinement import statistics
from models.refinement.exchange import Body

UNITS: Mapping[str, float] = {"features": 1, "means": statistics.FINE}
"""What gets noise, by its name in a message, and its steps to a unit: a unit is the standard
deviation of public data, of all (a sketch's features) or of one class (a class's means)."""


def noised(body: Body, deviation: float, stream: torch.Generator) -> Body:
    """A body with gaussian noise of a standard deviation, in :data:`UNITS`, on its features or
    means; all else, and everything where ``deviation`` is 0, is as it was. What does not fit its
    type any more is cut off.

    Means say that they are of fewer samples: of as many as would have made them as uncertain, so
    that who compares or draws by them is right to.

    This makes attacks harder, which docs/privacy.md measures; it is no proof: what noise of this
    kind guarantees depends on how far one sample can move a message, which nothing bounds here.
    """
    if not deviation:
        return body
    found = {
        name: _noised(part, deviation * UNITS[name], stream) if name in UNITS else part
        for name, part in body.items()
    }
    if "counts" in body:
        found["counts"] = _uncertain(body["counts"], deviation)
    return found


def _uncertain(counts: Tensor, deviation: float) -> Tensor:
    """1/n becomes 1/n + deviation^2, as far as counts can be told."""
    samples = 2 ** (counts / statistics.COARSE)
    as_sure = samples / (1 + samples * deviation**2)
    least = statistics.SCHEMA["counts"].low
    told = (statistics.COARSE * as_sure.log2()).round().clamp(min=least)
    return told.to(counts.dtype)


def _noised(values: Tensor, deviation: float, stream: torch.Generator) -> Tensor:
    moved = values + deviation * torch.randn(values.shape, generator=stream)
    if values.dtype.is_floating_point:
        return moved.to(values.dtype)
    return moved.round().clamp(-statistics.MOST, statistics.MOST).to(values.dtype)
