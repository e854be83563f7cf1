"""What devices tell each other: points over tuning alone, and accuracy against bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tasks.experiments.canvas import COLORS, INK, legend_above, mean_of, panels, share_y
from tasks.experiments.exchange.claims import ALONE, cells_of, means, with_peers

MARKERS = "osD^vPX*"


def contexts(frame: pd.DataFrame) -> Any:
    """Behind sensors."""
    return _drawn(frame)


def languages(frame: pd.DataFrame) -> Any:
    """In languages."""
    return _drawn(frame)


def _drawn(frame: pd.DataFrame) -> Any:
    """Above, points over alone by samples of a class; below, accuracy by bytes up; on the left all
    classes seen, on the right some missing. Devices that have a peer; 95 % intervals over seeds."""
    cells = cells_of(with_peers(frame))
    shown = sorted({unseen for _, unseen in cells})
    figure, axes = panels(len(shown), 3.4, 2.9, rows=2)
    styles = {
        name: (COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)])
        for i, name in enumerate(dict.fromkeys(frame.exchange))
    }
    for at, unseen in enumerate(shown):
        parts = {samples: part for (samples, u), part in cells.items() if u == unseen}
        gains, costs = axes[at], axes[len(shown) + at]
        _gains(gains, parts, styles)
        _costs(costs, parts, styles)
        gains.set_title(f"{unseen} classes missing" if unseen else "all classes seen")
    for row in (axes[: len(shown)], axes[len(shown) :]):
        share_y(row)
    legend_above(figure, axes[len(shown)])
    return figure


def _gains(axis: Any, parts: dict[int, pd.DataFrame], styles: dict[str, tuple[str, str]]) -> None:
    others = [name for name in styles if name != ALONE]
    axis.axhline(0, color=INK, lw=0.8)
    for i, name in enumerate(others):
        color, marker = styles[name]
        points = [
            mean_of(100 * (of[name] - of[ALONE]))
            for of in (means(part, "accuracy") for part in parts.values())
        ]
        mean, error = zip(*points, strict=True)
        at = np.arange(len(parts)) + 0.06 * (i - (len(others) - 1) / 2)
        axis.errorbar(at, mean, yerr=error, color=color, marker=marker, ms=5, lw=1.4, capsize=2)
    axis.set_xticks(range(len(parts)), [str(samples) for samples in parts])
    axis.set_xlim(-0.3, len(parts) - 0.7)
    axis.set_xlabel("train samples a class")
    axis.set_ylabel("points over alone")


def _costs(axis: Any, parts: dict[int, pd.DataFrame], styles: dict[str, tuple[str, str]]) -> None:
    for samples, part in parts.items():
        kilobytes, accuracy = (
            means(part, "uplink_bytes").mean() / 1000,
            means(part, "accuracy").mean(),
        )
        for name, (color, marker) in styles.items():
            label = (
                {ALONE: "none (alone)"}.get(name, name)
                if part is next(iter(parts.values()))
                else None
            )
            axis.plot(
                kilobytes[name], accuracy[name], marker, color=color, ms=6, ls="", label=label
            )
        order = kilobytes.sort_values().index
        axis.plot(kilobytes[order], accuracy[order], color="#9aa5b1", lw=0.7, zorder=0)
        last = order[-1]
        axis.annotate(f" {samples}", (kilobytes[last], accuracy[last]), xytext=(5, -3),
                      textcoords="offset points", fontsize=8)  # fmt: skip
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.margins(x=0.15)
    axis.set_xlabel("kB up a device, by samples a class")
    axis.set_ylabel("accuracy")
