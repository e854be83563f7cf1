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
    """Least squares of Eq. 2's form: L_n and c from seconds, or G_n and a from watts.

    Args:
        variants: width and depth of each measurement.
        values: what was measured of it.

    Raises:
        ValueError: fewer than two sizes, or the fit says that a model of no size costs nothing
            (the measurements are noise).
    """
    sizes = np.array([width * depth for width, depth in variants])
    measured = np.asarray(values, np.float64)
    if len(np.unique(sizes)) < 2:
        raise ValueError("a fit needs variants of at least two sizes")
    design = np.stack([np.ones_like(sizes), sizes], 1)
    (base, slope), *_ = np.linalg.lstsq(design, measured, rcond=None)
    if base <= 0:
        raise ValueError(f"the fitted base is {base:.3g}: measure again with nothing else running")
    rest = ((measured - design @ [base, slope]) ** 2).sum()
    spread = ((measured - measured.mean()) ** 2).sum()
    return Line(float(base), float(slope / base), float(1 - rest / spread) if spread else 1.0)
