"""The figures in the paper's layout, as PNG: means over seeds, bars for 95 % intervals."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pandas as pd

from tasks.experiments.pictures import devices, grid, headers, systems

FIGURES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "table1": systems.table1,
    "fig1": grid.fig1,
    "fig7a": devices.fig7a,
    "fig7b": headers.fig7b,
    "fig8": headers.fig8,
    "fig9": grid.fig9,
    "fig10": devices.fig10,
    "fig11": devices.fig11,
    "fig12": headers.fig12,
    "fig13a": devices.fig7a,
    "fig13b": headers.fig7b,
    "ablation": systems.ablation,
}


def draw(name: str, frame: pd.DataFrame) -> bytes:
    """The figure of one experiment."""
    figure = FIGURES[name](frame)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()
