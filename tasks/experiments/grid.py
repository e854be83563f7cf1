"""Fig. 1 and Fig. 9: what the grid of variants says, and what each rule would choose of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from prefect import task

from models.backbone.config import config_of
from models.backbone.scoring import score_grid
from models.matching.energy import DeviceProfile, EnergyConstants, cluster_energy_joule
from models.matching.selection import Candidate, Selection, select
from tasks import settings
from tasks.cloud import load_backbone
from tasks.compute import Machine
from tasks.experiments import paper
from tasks.experiments.claims import Claim, by_seed
from tasks.options import CACHED, RETRIED
from tasks.records import Variant
from tasks.samples import DataInfo, read_split
from tasks.store import Ref

Row = dict[str, Any]
METHODS = {
    "pareto": "ACME",
    "greedy-accuracy": "Greedy-Accuracy",
    "greedy-size": "Greedy-Size",
    "random": "Random",
}
OTHERS = tuple(METHODS)[1:]


@task(task_run_name="test accuracy of the grid", **CACHED)
def grid_on_test(
    elastic: Ref,
    public: Ref,
    info: DataInfo,
    backbone: settings.Backbone,
    machine: Machine,
    code: str,
) -> list[float]:
    """Accuracy on the public test split, in the order of :func:`tasks.cloud.score`."""
    vit = load_backbone(elastic).to(machine.prepare())
    images, labels = read_split(public, "test", info)
    scores = score_grid(
        vit, images, labels, backbone.widths, backbone.depths, backbone.depth_strategy
    )
    return [s.accuracy for s in scores]


@task(task_run_name="time the grid's scoring", **RETRIED)
def scoring_seconds(
    elastic: Ref, public: Ref, info: DataInfo, backbone: settings.Backbone, machine: Machine
) -> dict[str, float]:
    """Seconds to score the grid on validation data: one pass a width, or one a variant."""
    vit = load_backbone(elastic).to(machine.prepare())
    images, labels = read_split(public, "val", info)

    def seconds(widths: Sequence[float], depths: Sequence[int]) -> float:
        start = time.perf_counter()
        score_grid(vit, images, labels, widths, depths, backbone.depth_strategy)
        return time.perf_counter() - start

    seconds(backbone.widths[:1], backbone.depths[:1])  # warm
    one_by_one = sum(seconds([w], [d]) for w in backbone.widths for d in backbone.depths)
    return {"shared": seconds(backbone.widths, backbone.depths), "one_by_one": one_by_one}


def energies(
    variants: Sequence[Variant],
    cluster: settings.Cluster,
    constants: settings.Energy,
    patches: int,
) -> list[float]:
    """Modelled joules of every variant: the largest among the cluster's devices (Eq. 10)."""
    devices = [DeviceProfile(d.gpu_capacity_watt, d.base_latency_s) for d in cluster.devices]
    of_eq2 = EnergyConstants(**constants.model_dump())
    return [cluster_energy_joule(devices, of_eq2, v.width, v.depth, patches) for v in variants]


def patches_of(elastic: Ref) -> int:
    """Patches of an image, p of Eq. 2."""
    return config_of(load_backbone(elastic)).grid ** 2


def grid_rows(variants: Sequence[Variant], test: Sequence[float], energy: list[float]) -> list[Row]:
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


def matching_rows(
    variants: Sequence[Variant],
    test: Sequence[float],
    energy: list[float],
    limit: int,
    rules: settings.Matching,
    edge: str,
    seconds: dict[str, float],
) -> list[Row]:
    """What each rule gives one cluster; size and energy normalised over the whole grid."""
    candidates = [
        Candidate(v.width, v.depth, v.val_loss, v.val_accuracy, v.parameters, e)
        for v, e in zip(variants, energy, strict=True)
    ]
    table = _normalised(candidates, np.array(test), np.array([v.val_loss for v in variants]))
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
                "work_s": took + _work_s(method, found, len(candidates), seconds),
            }
        )
    return rows


def _select(
    candidates: Sequence[Candidate], limit: int, method: str, rules: settings.Matching, edge: str
) -> Selection:
    return select(
        candidates, limit, method=method, window=rules.performance_window, seed=0, cluster=edge
    )


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


def fig1_claims(frame: pd.DataFrame) -> list[Claim]:
    """Depth pays less and less; variants of one size differ."""
    full = frame[frame.width == frame.width.max()]
    by_depth = full.pivot_table(index="seed", columns="depth", values="test_accuracy")
    depths = sorted(by_depth.columns)
    low, middle, high = depths[0], depths[len(depths) // 2], depths[-1]
    bend = (by_depth[middle] - by_depth[low]) - (by_depth[high] - by_depth[middle])
    gain = by_depth[high] - by_depth[low]
    return [
        Claim(
            "fig1.depth-gain",
            f"accuracy gained from depth {low} to {high} at full width (paper: 4 to 12)",
            paper.DEPTH_ACCURACY[11] - paper.DEPTH_ACCURACY[3],
            by_seed(gain),
        ),
        Claim(
            "fig1.diminishing",
            f"the first half of the added layers ({low} to {middle}) gains more than the second "
            "(paper: 4 to 8 against 8 to 12)",
            2 * paper.DEPTH_ACCURACY[7] - paper.DEPTH_ACCURACY[3] - paper.DEPTH_ACCURACY[11],
            by_seed(bend),
        ),
        Claim(
            "fig1.spread",
            "spread of accuracy among variants of one size (width x depth the same; neutral: 1.6 "
            "points, twice the standard error of 2,000 test images)",
            paper.SAME_SIZE_SPREAD,
            {s: _widest_spread(frame[frame.seed == s]) for s in frame.seed.unique().tolist()},
            neutral=0.016,
        ),
    ]


def _widest_spread(rows: pd.DataFrame) -> float:
    product = (rows.width * rows.depth).round(6)
    groups = rows.test_accuracy.groupby(product)
    spread = (groups.max() - groups.min())[groups.size() > 1]
    return float(spread.max()) if len(spread) else 0.0


def fig9_claims(frame: pd.DataFrame) -> list[Claim]:
    """ACME against the best of the three rules, on the mean over clusters."""
    mean = frame.groupby(["seed", "method"]).mean(numeric_only=True)

    def against(column: str, lower: bool = False) -> dict[int, tuple[float, float]]:
        table = mean[column].unstack()
        rest = table[[METHODS[m] for m in OTHERS]]
        best = rest.min(axis=1) if lower else rest.max(axis=1)
        return {int(s): (float(table.loc[s, "ACME"]), float(best[s])) for s in table.index}

    def ratio(pairs: dict[int, tuple[float, float]]) -> dict[int, float]:
        return {s: (a - b) / abs(b) for s, (a, b) in pairs.items()}

    score, cost, work = against("plotted_score"), against("text_cost", True), mean.work_s.unstack()
    return [
        Claim(
            "fig9.score",
            "trade-off score as plotted, acc - (size + energy) / 2: relative gain over the best "
            "of the three rules",
            0.289,
            ratio(score),
        ),
        Claim(
            "fig9.score-difference",
            "the same as a difference",
            _paper_score("ACME") - _paper_score("Greedy-Accuracy"),
            {s: a - b for s, (a, b) in score.items()},
        ),
        Claim(
            "fig9.cost",
            "trade-off score as in the text, L + E + size (a cost): relative saving against the "
            "best of the three rules",
            0.289,
            {s: (b - a) / abs(b) for s, (a, b) in cost.items()},
        ),
        Claim(
            "fig9.energy-efficiency",
            "accuracy per unit of modelled energy, over the best of the three rules",
            _paper_ratio(2),
            ratio(against("energy_efficiency")),
        ),
        Claim(
            "fig9.size-efficiency",
            "accuracy per parameter, over the best of the three rules",
            _paper_ratio(1),
            ratio(against("size_efficiency")),
        ),
        Claim(
            "fig9.accuracy",
            "accuracy against Greedy-Accuracy (the paper pays 2 points too)",
            paper.FIG9["ACME"][0] - paper.FIG9["Greedy-Accuracy"][0],
            _difference(mean.test_accuracy.unstack(), "ACME", "Greedy-Accuracy"),
        ),
        Claim(
            "fig9.latency",
            "selection latency saved against Greedy-Accuracy, all scoring counted for both",
            0.712,
            by_seed(1 - work["ACME"] / work["Greedy-Accuracy"]),
        ),
    ]


def _paper_score(method: str) -> float:
    accuracy, size, energy, _ = paper.FIG9[method]
    return accuracy - 0.5 * (size + energy)


def _paper_ratio(column: int) -> float:
    """The paper's efficiency of ACME over the best of the others, less 1."""
    efficiency = {m: row[0] / row[column] for m, row in paper.FIG9.items()}
    return efficiency.pop("ACME") / max(efficiency.values()) - 1


def _difference(table: pd.DataFrame, a: str, b: str) -> dict[int, float]:
    return by_seed(table[a] - table[b])
