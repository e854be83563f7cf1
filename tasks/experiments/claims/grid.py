"""Fig. 1 and 9."""

from __future__ import annotations

import pandas as pd

from tasks.experiments import paper
from tasks.experiments.claims import Claim, by_seed
from tasks.experiments.grid import METHODS, OTHERS


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
