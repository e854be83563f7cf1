"""Fig. 1 and 9."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tasks.experiments.canvas import COLORS, over_seeds, panels, within_seeds
from tasks.experiments.grid.cells import AUTHORS_LIMIT


def fig1(frame: pd.DataFrame) -> Any:
    """Accuracy and modelled energy against depth; variants of one size."""
    frame = within_seeds(frame, "test_accuracy")
    figure, (left, right) = panels(2)
    full = frame[frame.width == frame.width.max()]
    depths = sorted(full.depth.unique())
    accuracy = [over_seeds(full[full.depth == d], "test_accuracy") for d in depths]
    left.errorbar(
        depths, [a[0] for a in accuracy], [a[1] for a in accuracy], color=COLORS[0], marker="o"
    )
    left.set(xlabel="depth (layers), width 1", ylabel="test accuracy")
    left.set_xticks(depths)
    energy = full.groupby("depth").modelled_energy_joule.mean()
    other = left.twinx()
    other.plot(depths, energy / energy.max(), color=COLORS[1], marker="s", ls="--")
    other.set_ylabel("modelled energy, share of the largest", color=COLORS[1])
    other.set_ylim(0, 1.05)
    product = (frame.width * frame.depth).round(6)
    sizes = product.value_counts()
    shown: list[float] = sorted(sizes[sizes > frame.seed.nunique()].index.tolist())
    names, values = [], []
    for value in shown:
        rows = frame[product == value].drop_duplicates(["width", "depth"])
        for _, row in rows.sort_values("depth").iterrows():
            same = frame[(frame.width == row.width) & (frame.depth == row.depth)]
            names.append(f"{row.width:g}x{int(row.depth)}\n{int(row.parameters) // 1000}k")
            values.append((*over_seeds(same, "test_accuracy"), value))
    palette = {v: COLORS[i % 9] for i, v in enumerate(shown)}
    for x, (mean, error, value) in enumerate(values):
        right.bar(x, mean, yerr=error, color=palette[value], capsize=2)
    right.set_xticks(range(len(names)), names, fontsize=7)
    low = min(v[0] for v in values)
    right.set(ylim=(max(0, low - 0.08), None), ylabel="test accuracy")
    right.set_xlabel("width x depth, parameters; one colour, one product")
    return figure


def fig9(frame: pd.DataFrame) -> Any:
    """Efficiencies, trade-off and latency of the four rules on the fleet."""
    columns = {
        "energy_efficiency": "accuracy per unit of energy",
        "size_efficiency": "accuracy per unit of size",
        "plotted_score": "trade-off: acc - (size + energy) / 2",
        "work_s": "seconds to select, scoring counted",
    }
    figure, axes = panels(len(columns), 3.6, 3.6)
    frame = frame[frame.edge != AUTHORS_LIMIT]
    for axis, (column, words) in zip(axes, columns.items(), strict=True):
        for i, method in enumerate(frame.method.unique()):
            mean, error = over_seeds(frame[frame.method == method], column)
            axis.bar(i, mean, yerr=error, color=COLORS[i], capsize=3)
        axis.set_xticks(range(frame.method.nunique()), frame.method.unique(), rotation=25)
        axis.tick_params(axis="x", labelsize=8)
        axis.set_title(words, fontsize=9)
    return figure
