"""Fig. 7b, 8, 12 and 13b."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tasks.experiments.canvas import COLORS, bars, floor_of, heat, over_seeds, panels, within_seeds


def fig7b(frame: pd.DataFrame) -> Any:
    """Bars by backbone at full width, one a header."""
    frame = within_seeds(frame, "test_accuracy")
    figure, (axis,) = panels(1, 8)
    whole = frame[frame.width == frame.width.max()]
    groups = {}
    for depth in sorted(whole.depth.unique(), reverse=True):
        rows = whole[whole.depth == depth]
        size = rows[rows.header == "linear"].total_parameters.mean() / 1e3
        groups[f"depth {depth}\n{size:.0f}k"] = {
            kind: over_seeds(rows[rows.header == kind], "test_accuracy")
            for kind in rows.header.unique()
        }
    bars(axis, groups, "test accuracy")
    axis.set_ylim(floor_of(whole[["test_accuracy"]]), None)
    axis.set_xlabel("backbone at width 1, parameters with a linear header")
    axis.legend(fontsize=7, ncols=3, loc="upper right")
    return figure


def fig8(frame: pd.DataFrame) -> Any:
    """A heat map a header over the grid."""
    kinds = ["searched", *sorted(set(frame.header) - {"searched"})]
    figure, axes = panels(len(kinds), 3.6, 3.4)
    low, high = frame.test_accuracy.min(), frame.test_accuracy.max()
    for axis, kind in zip(axes, kinds, strict=True):
        table = frame[frame.header == kind].pivot_table(
            index="depth", columns="width", values="test_accuracy"
        )
        table = table.sort_index(ascending=False)[sorted(table.columns, reverse=True)]
        heat(axis, table.to_numpy(), low, high)
        axis.set_xticks(range(table.shape[1]), [f"{w:g}" for w in table.columns])
        axis.set_yticks(range(table.shape[0]), table.index)
        axis.set(title=kind, xlabel="width", ylabel="depth")
    return figure


def fig12(frame: pd.DataFrame) -> Any:
    """Lines over U, one a B, on both backbones."""
    figure, axes = panels(2, 4.2)
    for axis, backbone in zip(axes, ("smallest", "largest"), strict=True):
        rows = within_seeds(frame[frame.backbone == backbone], "test_accuracy")
        for i, blocks in enumerate(sorted(rows.blocks.unique())):
            of = rows[rows.blocks == blocks]
            repeats = sorted(of.repeats.unique())
            points = [over_seeds(of[of.repeats == u], "test_accuracy") for u in repeats]
            axis.errorbar(
                repeats,
                [p[0] for p in points],
                [p[1] for p in points],
                color=COLORS[i],
                marker="o",
                capsize=2,
                label=f"B = {blocks}",
            )
        axis.set(title=f"{backbone} backbone", xlabel="U", ylabel="test accuracy")
        axis.set_xticks(sorted(rows.repeats.unique()))
        axis.legend(fontsize=8)
    return figure


fig13b = fig7b  # on a second data set
