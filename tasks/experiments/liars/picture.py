"""What each lie costs the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tasks.experiments.canvas import COLORS, INK, legend_above, mean_of, panels, share_y
from tasks.experiments.liars.claims import MOST, lost


def liars(frame: pd.DataFrame) -> Any:
    """Points that the others lose, a panel an exchange, a bar a lie; 95 % intervals over seeds."""
    found = lost(frame)
    names = list(dict.fromkeys(frame.exchange))
    sizes, lies = sorted(set(frame["size"])), list(dict.fromkeys(frame.lie))
    figure, axes = panels(len(names), 2.3, 2.9)
    for axis, exchange in zip(axes, names, strict=True):
        for at, size in enumerate(sizes):
            bars = [mean_of(100 * found.loc[exchange, size, lie]) for lie in lies]
            place = np.arange(len(lies)) + (at - (len(sizes) - 1) / 2) * 0.35
            axis.bar(
                place,
                [mean for mean, _ in bars],
                0.33,
                yerr=[half for _, half in bars],
                color=COLORS[at],
                label=f"one of {size}",
            )
        axis.axhline(0, color=INK, lw=0.8)
        axis.axhline(100 * MOST, color=INK, lw=0.8, ls=":")
        axis.set_xticks(range(len(lies)), lies, rotation=40, ha="right")
        axis.set_title(exchange)
    axes[0].set_ylabel("points that the others lose")
    share_y(axes)
    legend_above(figure, axes[0])
    return figure
