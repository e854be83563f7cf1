"""Fig. 7a and 13a: what devices get."""

from __future__ import annotations

import textwrap
from typing import Any

import pandas as pd

from tasks.experiments.canvas import COLORS, bars, floor_of, over_seeds, panels, within_seeds

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


fig13a = fig7a  # on a second data set
