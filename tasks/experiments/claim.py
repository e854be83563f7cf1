"""What the paper claims, what came out here, and the rule that compares the two.

A claim is a number a seed (differences are taken within a seed, so methods are paired), a
``neutral`` value at which nothing is claimed, and the direction that is claimed.

- *holds*: the 95 % interval lies wholly beyond neutral, and the mean reaches the paper's number
  (where that number is lost, the first part decides);
- *direction*: the interval lies beyond neutral, but the mean falls short of the paper's number;
  or there is one seed, hence no interval, and its value lies beyond neutral;
- *fails*: everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from models.statistics import interval

Verdict = Literal["holds", "direction", "fails"]


@dataclass(frozen=True)
class Claim:
    """``values`` by seed; ``paper`` is None where its number is lost or was never given."""

    id: str
    claim: str
    paper: float | None
    values: Mapping[int, float]
    better: Literal["higher", "lower"] = "higher"
    neutral: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """By the rule at the top of this file."""
        sign = 1 if self.better == "higher" else -1
        numbers = list(self.values.values())
        mean = float(np.mean(numbers))
        bounds = interval(numbers)
        worst = mean if bounds is None else min(sign * b for b in bounds) * sign
        if not sign * (worst - self.neutral) > 0:
            return "fails"
        if bounds is None:
            return "direction"
        reached = self.paper is None or sign * (mean - self.paper) >= 0
        return "holds" if reached else "direction"

    def row(self) -> dict[str, Any]:
        """As in ``claims.json``; ``ours_ci95`` holds nulls where one seed gives no interval."""
        numbers = [float(v) for v in self.values.values()]
        return {
            "id": self.id,
            "claim": self.claim,
            "paper": self.paper,
            "ours_mean": float(np.mean(numbers)),
            "ours_ci95": list(interval(numbers) or (None, None)),
            "seeds": list(self.values),
            "values": numbers,
            "better": self.better,
            "neutral": self.neutral,
            "verdict": self.verdict,
        }


def by_seed(values: pd.Series) -> dict[int, float]:
    """A series indexed by seed, as a claim's ``values``."""
    return {int(str(seed)): float(value) for seed, value in values.items()}
