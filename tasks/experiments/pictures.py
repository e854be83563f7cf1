"""The figures in the paper's layout, as PNG: means over seeds, bars for 95 % intervals."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pandas as pd

from tasks.experiments.ablation import picture as ablation
from tasks.experiments.central import picture as central
from tasks.experiments.fleet import picture as fleet
from tasks.experiments.grid import picture as grid
from tasks.experiments.headers import picture as headers
from tasks.experiments.lightweight import picture as lightweight
from tasks.experiments.refining import picture as refining

FIGURES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "fleet": fleet.fleet,
    "table1": central.table1,
    "fig1": grid.fig1,
    "fig7a": lightweight.fig7a,
    "fig7b": headers.fig7b,
    "fig8": headers.fig8,
    "fig9": grid.fig9,
    "fig10": refining.fig10,
    "fig11": refining.fig11,
    "fig12": headers.fig12,
    "fig13a": lightweight.fig7a,
    "fig13b": headers.fig7b,
    "ablation": ablation.ablation,
}


def draw(name: str, frame: pd.DataFrame) -> bytes:
    """The figure of one experiment."""
    figure = FIGURES[name](frame)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()
