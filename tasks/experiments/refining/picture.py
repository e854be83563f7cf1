"""Fig. 10 and 11: who is alike, and what mixing is worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tasks.experiments.canvas import (
    INK,
    bars,
    heat,
    over_seeds,
    panels,
    within_seeds,
)
from tasks.experiments.refining.claims import corners_of


def fig10(frame: pd.DataFrame) -> Any:
    """Eq. 20's weights of the first seed, and how well groups are recovered."""
    level = "C2" if "C2" in set(frame.level) else frame.level.iloc[0]
    kept = frame[(frame.level == level) & (frame.seed == frame.seed.min())]
    kept = kept[kept.samples == kept.samples.max()]
    figure, axes = panels(len(kept) + 1, 3.5, 3.4)
    for axis, (_, row) in zip(axes, kept.iterrows(), strict=False):
        matrix = np.array(row.weights)
        heat(axis, matrix, matrix.min(), matrix.max(), fontsize=6)
        how = "debiased, temperature .1" if row.debiased else "Eq. 20 as printed"
        axis.set_title(f"{row.distance}\n{how}", fontsize=9)
    groups = {
        lvl: {
            f"{d}{' debiased' if b else ''}": over_seeds(
                frame[(frame.level == lvl) & (frame.distance == d) & (frame.debiased == b)],
                "rank_agreement",
            )
            for d in ("wasserstein", "js")
            for b in (False, True)
        }
        for lvl in frame.level.unique()
        if lvl != "iid"
    }
    bars(axes[-1], groups, "rank agreement with the true groups")
    axes[-1].set_ylim(0.4, 1.3)
    axes[-1].legend(fontsize=7, loc="upper left", ncols=2)
    return figure


def fig11(frame: pd.DataFrame) -> Any:
    """Gains over the received model by level, a panel a corner."""
    parts = corners_of(frame)
    figure, axes = panels(len(parts), 6.4, 4.0)
    for axis, part in zip(axes, parts, strict=True):
        column, words = ("after_tuning", "after tuning")
        if axis is not axes[0]:
            column, words = ("after_pruning", "right after pruning")
        part = part.assign(gain=100 * (part[column] - part.received))
        part = pd.concat(
            within_seeds(rows, "gain") for _, rows in part.groupby("level", sort=False)
        )
        groups = {
            level: {
                method: over_seeds(part[(part.level == level) & (part.method == method)], "gain")
                for method in part.method.unique()
            }
            for level in part.level.unique()
        }
        bars(axis, groups, "points over the received model")
        for x, level in enumerate(part.level.unique()):
            rows = part[part.level == level]
            free = 100 * (rows.own_classes - rows.received).mean()
            label = "own classes, untrained" if x == 0 else None
            axis.plot([x - 0.45, x + 0.45], [free, free], color=INK, lw=1.2, ls=":", label=label)
        first = part.iloc[0]
        place = f"{first.header}, {first.samples} train samples, {first.strength:.0%} pruned"
        axis.set_title(f"{place}, {words}", fontsize=9)
    axes[0].legend(fontsize=7)
    return figure
