"""The experiments by name, the paper's and ours, cheap to import: what the command line offers.

An experiment is found by its name in its room: the flow ``<name>`` in ``flows/experiments/<room>``,
its judge ``<name>_claims`` and its picture ``<name>`` in ``claims`` and ``picture`` of
``tasks/experiments/<room>``. Each is imported where it is first needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from tasks.experiments.claim import Claim

SCALES = ("quick", "default", "paper")  # files of evaluation/


@dataclass(frozen=True)
class Experiment:
    """One figure or table of the evaluation: its name, its room, and its title in the results.

    ``ours`` has no counterpart in the paper: its claims are our goals, on a page of their own. What
    is ``beside`` measures no time and shares no work with others, so that such may run at once.
    """

    name: str
    room: str
    title: str
    ours: bool = False
    beside: bool = False

    @property
    def judge(self) -> Callable[[pd.DataFrame], list[Claim]]:
        """Measures on its rows what the paper claims of it."""
        return self._found("claims", f"{self.name}_claims")

    @property
    def figure(self) -> Callable[[pd.DataFrame], Any]:
        """Draws its rows in the paper's layout, as a matplotlib figure."""
        return self._found("picture", self.name)

    def _found(self, module: str, function: str) -> Callable[[pd.DataFrame], Any]:
        room = import_module(f"tasks.experiments.{self.room}.{module}")
        found: Callable[[pd.DataFrame], Any] = getattr(room, function)
        return found


EXPERIMENTS = {  # in the order in which they run and are reported
    e.name: e
    for e in (
        Experiment("fleet", "fleet", "The default fleet"),
        Experiment("table1", "central", "Table I: against a centralised system"),
        Experiment("fig1", "grid", "Fig. 1: accuracy and energy against depth"),
        Experiment("fig7a", "lightweight", "Fig. 7a: against lightweight models"),
        Experiment("fig7b", "headers", "Fig. 7b: headers at full width"),
        Experiment("fig8", "headers", "Fig. 8: headers over the grid of backbones"),
        Experiment("fig9", "grid", "Fig. 9: matching models to clusters"),
        Experiment("fig10", "refining", "Fig. 10: which devices are alike"),
        Experiment("fig11", "refining", "Fig. 11: what collaboration is worth"),
        Experiment("fig12", "headers", "Fig. 12: the size of the header's space"),
        Experiment("fig13a", "lightweight", "Fig. 13a: lightweight models, second data set"),
        Experiment("fig13b", "headers", "Fig. 13b: headers, second data set"),
        Experiment("ablation", "ablation", "Ablation: what we changed"),
        Experiment("contexts", "exchange", "Behind four sensors", ours=True, beside=True),
        Experiment("languages", "exchange", "In four languages", ours=True, beside=True),
        Experiment("liars", "liars", "One device that lies", ours=True),
        Experiment("prune", "pruning", "What chooses the neurons that go", ours=True),
    )
}
