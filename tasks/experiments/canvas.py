"""What the figures in the paper's layout are drawn on: panels, grouped bars with 95 % intervals of
means over seeds, heat maps."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from models.statistics import interval

COLORS = ["#c2410c", "#2563a6", "#3f8f5b", "#8a63b8", "#b08900", "#5f6b7a", "#c2577e", "#2a9d9d"]
COLORS += ["#6b4226"]  # Fig. 7b has nine headers
INK = "#1f2933"


def panels(
    count: int, width: float = 5.4, height: float = 3.9, rows: int = 1
) -> tuple[Any, list[Any]]:
    """A figure with ``count`` panels side by side, in ``rows`` of so many, row by row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * count, height * rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, count)).ravel()
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="#e4e7eb", lw=0.7)
        axis.set_axisbelow(True)
    return figure, list(axes)


def share_y(axes: list[Any]) -> None:
    """Give panels side by side one vertical axis, labelled once."""
    low = min(axis.get_ylim()[0] for axis in axes)
    high = max(axis.get_ylim()[1] for axis in axes)
    for axis in axes:
        axis.set_ylim(low, high)
    for axis in axes[1:]:
        axis.set_ylabel("")


def legend_above(figure: Any, axis: Any) -> None:
    """What the marks of a panel, and of those beside it, mean."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False,
                  fontsize=8.5, columnspacing=1, handletextpad=0.2)  # fmt: skip


def mean_of(values: Iterable[float]) -> tuple[float, float]:
    """Mean and half the width of its interval (0 where one seed gives none)."""
    numbers = list(values)
    mean, bounds = float(np.mean(numbers)), interval(numbers)
    return mean, (bounds[1] - mean if bounds else 0.0)


def over_seeds(frame: pd.DataFrame, column: str) -> tuple[float, float]:
    """Mean over seeds of a column's mean, and half the width of its interval."""
    return mean_of(frame.groupby("seed")[column].mean())


def within_seeds(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The frame without what all rows of a seed share: intervals then show how certain differences
    between methods are, which were compared on the same data (Cousineau 2005)."""
    values = frame[list(columns)]
    shared = values.groupby(frame["seed"]).transform("mean")
    return frame.assign(**{c: values[c] - shared[c] + values[c].mean() for c in columns})


def bars(axis: Any, groups: dict[str, dict[str, tuple[float, float]]], label: str) -> None:
    """``groups[x][series]``: bars side by side, with intervals and, where they are few, values."""
    series = list(dict.fromkeys(s for g in groups.values() for s in g))
    width = 0.84 / len(series)
    for i, name in enumerate(series):
        at = [x + (i - (len(series) - 1) / 2) * width for x in range(len(groups))]
        mean, error = zip(*(g.get(name, (np.nan, 0)) for g in groups.values()), strict=True)
        axis.bar(at, mean, width * 0.94, yerr=error, color=COLORS[i % 9], label=name, capsize=2)
    axis.set_xticks(range(len(groups)), list(groups))
    axis.set_ylabel(label)


def heat(axis: Any, matrix: np.ndarray, low: float, high: float, fontsize: float = 8) -> None:
    """A matrix as coloured cells with their values."""
    axis.grid(False)
    axis.imshow(matrix, cmap="YlGnBu", vmin=low, vmax=high)
    for (i, j), value in np.ndenumerate(matrix):
        dark = value > low + 0.6 * (high - low)
        text = f"{value:.3f}".lstrip("0")
        color = "white" if dark else INK
        axis.text(j, i, text, ha="center", va="center", fontsize=fontsize, color=color)


def floor_of(table: pd.DataFrame) -> float:
    """Where an axis of accuracies may start: a little below the lowest."""
    return max(0.0, float(np.floor(table.min().min() * 20) / 20) - 0.05)


def png(figure: Any) -> bytes:
    """A figure as a PNG file that is the same on every run."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()
