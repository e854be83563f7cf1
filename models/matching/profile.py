"""A device's constants of Eq. 2 from what was measured on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Line:
    """``base * (1 + growth * w * d)``, and how much of the measurements' variance it explains."""

    base: float
    growth: float
    r_squared: float

    def at(self, width: float, depth: int) -> float:
        """The fitted value of a variant."""
        return self.base * (1 + self.growth * width * depth)


def fit(variants: Sequence[tuple[float, int]], values: Sequence[float]) -> Line:
    """Least squares of Eq. 2's form, for seconds or watts. What is squared are relative errors:
    what disturbs a measurement grows with it, and the base is told by the smallest variants. Eq. 2
    knows no cost that falls as a model grows: where one does, it is taken as constant.

    Args:
        variants: width and depth of each measurement.
        values: what was measured of it.

    Raises:
        ValueError: fewer than two sizes, a measurement of nothing, or a fit by which a model of no
            size costs nothing (the measurements are noise).
    """
    sizes = np.array([width * depth for width, depth in variants])
    measured = np.asarray(values, np.float64)
    if len(np.unique(sizes)) < 2:
        raise ValueError("a fit needs variants of at least two sizes")
    if not (measured > 0).all():
        raise ValueError(f"measured {measured.min():.3g}: measure again")
    design = np.stack([np.ones_like(sizes), sizes], 1)
    relative = design / measured[:, None]
    (base, slope), *_ = np.linalg.lstsq(relative, np.ones_like(measured), rcond=None)
    if base <= 0:
        raise ValueError(f"the fitted base is {base:.3g}: measure again with nothing else running")
    if slope < 0:
        base, slope = measured.mean(), 0.0
    rest = ((measured - design @ [base, slope]) ** 2).sum()
    spread = ((measured - measured.mean()) ** 2).sum()
    return Line(float(base), float(slope / base), float(1 - rest / spread) if spread else 1.0)


def power_constants(watts: Line, batch_power: float, patches: int) -> tuple[float, float]:
    """G_n in watt and a of Eq. 2, from a fit of measured watts: its base is G_n * (1 + b * p), and
    its slope G_n * a."""
    of_patches = 1 + batch_power * patches
    return watts.base / of_patches, watts.growth * of_patches
