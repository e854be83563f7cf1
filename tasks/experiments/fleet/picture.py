"""Every device of the default fleet."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tasks.experiments.canvas import COLORS, INK, mean_of, panels, within_seeds

SHOWN = (  # column, words, colour, marker, offset of its row
    ("received", "as received", "#d99a4e", "o", 0.22),
    ("received_own_classes", "received, own classes only (no training)", INK, "D", 0.07),
    ("accuracy", "refined with its peers", COLORS[1], "s", -0.08),
    ("accuracy_ceiling", "ceiling: many more samples", "#8a94a3", "|", -0.22),
)


def fleet(frame: pd.DataFrame) -> Any:
    """Mean over seeds and its 95 % interval of each accuracy, a row a device. Intervals leave out
    what the accuracies of a device share in a seed: how hard the classes are that it was dealt."""
    devices = frame.drop_duplicates("device")
    figure, (axis,) = panels(1, 8.6, 0.42 * len(devices) + 1.3)
    y = np.arange(len(devices))[::-1]
    shown = [row for row in SHOWN if row[0] in frame]
    alike = _alike(frame, [column for column, *_ in shown])
    for column, words, color, marker, offset in shown:
        points = [mean_of(alike.loc[[(name, column)]]) for name in devices.device]
        axis.errorbar(
            [p[0] for p in points],
            y + offset,
            xerr=[p[1] for p in points],
            fmt=marker,
            ms=9 if marker == "|" else 5,
            lw=1.4,
            color=color,
            label=words,
        )
    several = "context" in devices and devices.context.nunique() > 1
    beside = devices.context if several else devices.cluster
    names = [f"{name}  ({words})" for name, words in zip(devices.device, beside, strict=True)]
    axis.set_yticks(y, names)
    axis.grid(axis="y", visible=False)
    axis.grid(axis="x", color="#e4e7eb", lw=0.7)
    seeds, samples = frame.seed.nunique(), int(frame.test_samples.max())
    axis.set_xlabel(
        f"accuracy on the device's own test split of at most {samples} samples, mean of {seeds} "
        "seeds"
        + ("\nand its 95 % interval, without what a device's accuracies share" if seeds > 1 else "")
    )
    axis.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=9)
    return figure


def _alike(frame: pd.DataFrame, columns: list[str]) -> pd.Series:
    """By device and column the accuracies of all seeds, without what they share in one."""
    long = frame.melt(["seed", "device"], columns, "column")
    parts = [within_seeds(part, "value") for _, part in long.groupby("device")]
    return pd.concat(parts).set_index(["device", "column"]).sort_index()["value"]
