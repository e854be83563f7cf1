"""The experiments' flows by name."""

from __future__ import annotations

from flows.experiments.ablation import ablation
from flows.experiments.central import table1
from flows.experiments.fleet import fleet
from flows.experiments.grid import fig1, fig9
from flows.experiments.headers import fig7b, fig8, fig12, fig13b
from flows.experiments.lightweight import fig7a, fig13a
from flows.experiments.refining import fig10, fig11

FLOWS = {
    f.name: f
    for f in (
        fleet,
        table1,
        fig1,
        fig7a,
        fig7b,
        fig8,
        fig9,
        fig10,
        fig11,
        fig12,
        fig13a,
        fig13b,
        ablation,
    )
}
