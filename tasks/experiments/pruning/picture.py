"""What discarding neurons loses, by what chooses them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tasks.experiments.canvas import COLORS, INK, mean_of, panels
from tasks.experiments.pruning.claims import lost


def prune(frame: pd.DataFrame) -> Any:
    """Points lost by the part of the neurons that goes, a line a ranking; 95 % intervals over
    seeds."""
    found = lost(frame)
    fractions = sorted(set(frame.fraction))
    figure, [axis] = panels(1, 4.6, 3.0)
    for at, name in enumerate(found.columns):
        points = [mean_of(100 * found[name].loc[fraction]) for fraction in fractions]
        place = 100 * np.array(fractions) + (at - len(found.columns) / 2) * 0.6
        means, halves = zip(*points, strict=True)
        axis.errorbar(place, means, halves, label=name, color=COLORS[at], marker="o", capsize=2)
    axis.axhline(0, color=INK, lw=0.8)
    axis.set_xlabel("% of the neurons that go")
    axis.set_ylabel("points lost")
    axis.legend(frameon=False, fontsize=8.5)
    return figure
