"""Fig. 1 and Fig. 9: what the grid of variants says, and what each rule would choose of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from models.backbone.scoring import score_grid
from models.matching.candidates import Candidate
from models.matching.energy import DeviceProfile, cluster_energy_joule
from models.matching.recipe import Choice, EnergyConstants
from models.matching.selection import Selection, select
from tasks.data.modality import DataInfo
from tasks.data.samples import read_split
from tasks.links.records import Variant
from tasks.report.heldout import test_split
from tasks.run.cached import cached
from tasks.run.compute import Machine
from tasks.run.modules import load_backbone
from tasks.run.store import Ref
from tasks.settings import params as settings

Row = dict[str, Any]
METHODS = {
    "pareto": "ACME",
    "greedy-accuracy": "Greedy-Accuracy",
    "greedy-size": "Greedy-Size",
    "random": "Random",
}
OTHERS = tuple(METHODS)[1:]
AUTHORS_LIMIT, AUTHORS_SHARE = "limit of the authors' script", 0.8  # of the normalised size


@dataclass(frozen=True)
class Scored:
    """The whole grid as one cluster sees it: a test accuracy and modelled joules a variant, and
    what scoring took (:func:`scoring_seconds`)."""

    variants: Sequence[Variant]
    test: Sequence[float]
    energy: Sequence[float]
    seconds: dict[str, float]


@cached("test accuracy of the grid")
def grid_on_test(
    elastic: Ref,
    public: Ref,
    info: DataInfo,
    grid: settings.Grid,
    machine: Machine,
) -> list[float]:
    """Accuracy on the public test split, in the order of :func:`tasks.cloud.score`."""
    vit = load_backbone(elastic).to(machine.prepare())
    scores = score_grid(vit, test_split(public, info), grid)
    return [s.accuracy for s in scores]


@cached("time the grid's scoring")
def scoring_seconds(
    elastic: Ref,
    public: Ref,
    info: DataInfo,
    grid: settings.Grid,
    machine: Machine,
) -> dict[str, float]:
    """Seconds to score the grid on validation data: one pass a width, or one a variant. Cached
    like all the rest: what is timed once is what the tables say."""
    vit = load_backbone(elastic).to(machine.prepare())
    data = read_split(public, "val", info)

    def seconds(widths: tuple[float, ...], depths: tuple[int, ...]) -> float:
        start = time.perf_counter()
        score_grid(vit, data, replace(grid, widths=widths, depths=depths))
        return time.perf_counter() - start

    seconds(grid.widths[:1], grid.depths[:1])  # warm
    one_by_one = sum(seconds((w,), (d,)) for w in grid.widths for d in grid.depths)
    return {"shared": seconds(grid.widths, grid.depths), "one_by_one": one_by_one}


def energies(
    variants: Sequence[Variant],
    cluster: settings.Cluster,
    constants: EnergyConstants,
    patches: int,
) -> list[float]:
    """Modelled joules of every variant: the largest among the cluster's devices (Eq. 10)."""
    devices = [DeviceProfile(d.gpu_capacity_watt, d.base_latency_s) for d in cluster.devices]
    return [cluster_energy_joule(devices, constants, v.width, v.depth, patches) for v in variants]


def patches_of(elastic: Ref) -> int:
    """Patches of an image, p of Eq. 2."""
    return load_backbone(elastic).config.positions


def authors_limit(variants: Sequence[Variant]) -> int:
    """The authors' selection script allows 0.8 of the grid's min-max normalised size."""
    sizes = [v.parameters for v in variants]
    return int(min(sizes) + AUTHORS_SHARE * (max(sizes) - min(sizes)))


def grid_rows(
    variants: Sequence[Variant], test: Sequence[float], energy: Sequence[float]
) -> list[Row]:
    """The whole grid as table rows."""
    return [
        {
            "width": v.width,
            "depth": v.depth,
            "parameters": v.parameters,
            "modelled_energy_joule": e,
            "val_accuracy": v.val_accuracy,
            "test_accuracy": accuracy,
        }
        for v, accuracy, e in zip(variants, test, energy, strict=True)
    ]


def matching_rows(scored: Scored, rules: settings.Matching, limit: int, edge: str) -> list[Row]:
    """What each rule gives one cluster; size and energy normalised over the whole grid."""
    variants = scored.variants
    candidates = [
        Candidate(v.width, v.depth, v.val_loss, v.val_accuracy, v.parameters, e)
        for v, e in zip(variants, scored.energy, strict=True)
    ]
    losses = np.array([v.val_loss for v in variants])
    table = _normalised(candidates, np.array(scored.test), losses)
    rows = []
    for method in METHODS:
        start = time.perf_counter()
        found = _select(candidates, limit, method, rules, edge)
        took = time.perf_counter() - start
        # Random is judged by its expectation: the mean over all that fit
        chosen = list(found.fitting) if method == "random" else [found.chosen]
        means = table.iloc[chosen].mean()
        rows.append(
            {
                "edge": edge,
                "method": METHODS[method],
                "width": float(np.mean([candidates[i].width for i in chosen])),
                "depth": float(np.mean([candidates[i].depth for i in chosen])),
                **{str(k): float(v) for k, v in means.items()},
                "select_s": took,
                "work_s": took + _work_s(method, found, len(candidates), scored.seconds),
            }
        )
    return rows


def _select(
    candidates: Sequence[Candidate], limit: int, method: str, rules: settings.Matching, edge: str
) -> Selection:
    recipe = Choice(method, rules.performance_window)
    return select(candidates, limit, recipe, seed=0, cluster=edge)


def _work_s(method: str, found: Selection, total: int, seconds: dict[str, float]) -> float:
    """Scoring that a rule needs before it can choose: ACME the grid (one pass a width),
    Greedy-Accuracy what fits (one pass a variant, as it walks), the others nothing."""
    if method == "pareto":
        return seconds["shared"]
    if method == "greedy-accuracy":
        return seconds["one_by_one"] * len(found.fitting) / total
    return 0.0


def _normalised(
    candidates: Sequence[Candidate], test: np.ndarray, loss: np.ndarray
) -> pd.DataFrame:
    """Scores of every candidate: min-max over all of them; ratios need no zero, so there sizes and
    energies are over the largest."""
    size = np.array([float(c.parameters) for c in candidates])
    energy = np.array([c.energy_joule for c in candidates])

    def spread(x: np.ndarray) -> np.ndarray:
        span = float(np.ptp(x))
        return (x - x.min()) / span if span else np.zeros_like(x)

    return pd.DataFrame(
        {
            "parameters": size,
            "modelled_energy_joule": energy,
            "test_accuracy": test,
            "size": spread(size),
            "energy": spread(energy),
            "plotted_score": test - 0.5 * (spread(size) + spread(energy)),
            "text_cost": spread(loss) + spread(energy) + spread(size),
            "energy_efficiency": test / (energy / energy.max()),
            "size_efficiency": test / (size / size.max()),
        }
    )
