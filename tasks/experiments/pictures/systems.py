"""Table I and the ablation."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tasks.experiments.pictures.canvas import COLORS, floor_of, mean_of, panels


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
