"""The ablation."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tasks.experiments.canvas import COLORS, mean_of, panels


def ablation(frame: pd.DataFrame) -> Any:
    """Each part of ours beside the other ways."""
    parts = (
        ("backbone", "test accuracy"),
        ("gamma_p", "plotted score"),
        ("gamma_p", "accuracy"),
        ("Eq. 20", "after pruning"),
        ("importance", "after pruning"),
        ("importance sets", "bytes up"),
    )
    figure, axes = panels(len(parts), 3.0, 3.6)
    for axis, (part, metric) in zip(axes, parts, strict=True):
        rows = frame[(frame.part == part) & (frame.metric == metric)]
        names = list(rows.setting.unique())
        points = [mean_of(rows[rows.setting == name]["value"]) for name in names]
        axis.bar(
            range(len(names)),
            [p[0] for p in points],
            yerr=[p[1] for p in points],
            color=COLORS[: len(names)],
            capsize=3,
        )
        axis.set_xticks(range(len(names)), names, rotation=25, ha="right", fontsize=8)
        axis.set_title(f"{part}: {metric}", fontsize=9)
        if metric == "bytes up":
            axis.set_yscale("log")
        else:
            axis.set_ylim(max(0.0, min(p[0] for p in points) - 0.1), None)
    return figure
