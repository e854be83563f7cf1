"""Table I."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tasks.experiments.canvas import COLORS, floor_of, mean_of, panels


def table1(frame: pd.DataFrame) -> Any:
    """The four columns of the table, both systems side by side."""
    figure, axes = panels(4, 3.4, 3.4)
    columns = (
        ("uplink_bytes", 1e6, "MB up (hatched: consented samples)"),
        ("compute_s", 1, "computing seconds"),
        ("search_space", 1, "search space"),
        ("accuracy", 1, "mean accuracy on the devices"),
    )
    for axis, (column, unit, words) in zip(axes, columns, strict=True):
        for i, system in enumerate(frame.system.unique()):
            rows = frame[frame.system == system]
            mean, error = mean_of(rows[column] / unit)
            axis.bar(i, mean, yerr=error, color=COLORS[i], capsize=3)
            if column == "uplink_bytes":
                shared = float(rows.shared_bytes.mean()) / unit
                axis.bar(i, shared, bottom=mean, fill=False, hatch="//", edgecolor=COLORS[i])
        axis.set_xticks(range(frame.system.nunique()), frame.system.unique())
        axis.set_title(words, fontsize=9)
    axes[2].set_yscale("log")
    axes[3].set_ylim(floor_of(frame[["accuracy"]]), None)
    return figure
