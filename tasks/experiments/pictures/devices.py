"""Fig. 7a, 10, 11 and 13a: what devices get, and who is alike."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd

from tasks.experiments.claims.refining import corners_of
from tasks.experiments.pictures.canvas import (
    COLORS,
    INK,
    bars,
    floor_of,
    heat,
    over_seeds,
    panels,
    within_seeds,
)

MARKERS = "os"


def fig7a(frame: pd.DataFrame) -> Any:
    """Accuracy against size, and what devices make of each model."""
    names = {
        "device_received": "received",
        "device_own_classes": "own classes",
        "device_tuned": "tuned",
    }
    frame = within_seeds(frame, "test_accuracy", *names)
    figure, (left, right) = panels(2, 6.2)
    for i, model in enumerate(frame.model.unique()):
        rows = frame[frame.model == model]
        mean, error = over_seeds(rows, "test_accuracy")
        size = rows.parameters.mean() / 1e3
        marker = "*" if i == 0 else MARKERS[i // len(COLORS)]
        color = COLORS[i % len(COLORS)]
        left.errorbar(size, mean, error, marker=marker, ls="", color=color, label=model)
    left.set(xlabel="thousand parameters", ylabel="test accuracy, public")
    left.legend(fontsize=7, loc="best")
    groups = {
        "\n".join(textwrap.wrap(model, 13)): {
            words: over_seeds(frame[frame.model == model], c) for c, words in names.items()
        }
        for model in frame.dropna(subset=list(names)).model.unique()
    }
    bars(right, groups, "mean accuracy on the devices")
    right.set_ylim(floor_of(frame[list(names)]), 1)
    right.tick_params(axis="x", labelsize=7, labelrotation=20)
    right.legend(fontsize=8, loc="upper center", ncols=3)
    return figure


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
