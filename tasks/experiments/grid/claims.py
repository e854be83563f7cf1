"""Fig. 1 and 9."""

from __future__ import annotations

import pandas as pd

from tasks.experiments import paper
from tasks.experiments.claim import Claim, by_seed
from tasks.experiments.grid.cells import AUTHORS_LIMIT, METHODS, OTHERS


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
    """ACME against three rules: on the mean over the fleet's clusters, and under the size limit
    that the authors' script sets (0.8 of the normalised size)."""
    fleet, theirs = frame[frame.edge != AUTHORS_LIMIT], frame[frame.edge == AUTHORS_LIMIT]
    mean = _by_method(fleet)
    work = mean.work_s.unstack()
    accuracy = mean.test_accuracy.unstack()
    score, words = mean.plotted_score.unstack(), "trade-off score as plotted, relative gain over"
    return [
        _over_best("fig9.score", f"{words} the best of the three rules", 0.289, mean),
        *(
            Claim(
                f"fig9.score-over-{METHODS[m].lower()}",
                f"{words} {METHODS[m]}",
                _paper_score("ACME") / _paper_score(METHODS[m]) - 1,
                by_seed(score["ACME"] / score[METHODS[m]] - 1),
            )
            for m in OTHERS
        ),
        _over_best(
            "fig9.score-at-authors-limit",
            f"{words} the best of the three rules, size limit of the authors' script",
            0.289,
            _by_method(theirs),
        ),
        Claim(
            "fig9.score-difference",
            "trade-off score as plotted, difference to the best of the three rules",
            _paper_score("ACME") - _paper_score("Greedy-Accuracy"),
            by_seed(score["ACME"] - _best(score, lower=False)),
        ),
        _over_best(
            "fig9.cost",
            "trade-off score as in the text, L + E + size (a cost): relative saving against the "
            "best of the three rules",
            0.289,
            mean,
            "text_cost",
            lower=True,
        ),
        _over_best(
            "fig9.energy-efficiency",
            "accuracy per unit of modelled energy, over the best of the three rules",
            _paper_ratio(2),
            mean,
            "energy_efficiency",
        ),
        _over_best(
            "fig9.size-efficiency",
            "accuracy per parameter, over the best of the three rules",
            _paper_ratio(1),
            mean,
            "size_efficiency",
        ),
        Claim(
            "fig9.accuracy",
            "accuracy given up against Greedy-Accuracy (neutral: 5 points)",
            paper.FIG9["Greedy-Accuracy"][0] - paper.FIG9["ACME"][0],
            by_seed(accuracy["Greedy-Accuracy"] - accuracy["ACME"]),
            "lower",
            0.05,
        ),
        Claim(
            "fig9.latency",
            "selection latency saved against Greedy-Accuracy, all scoring counted for both",
            0.712,
            by_seed(1 - work["ACME"] / work["Greedy-Accuracy"]),
        ),
    ]


def _by_method(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.groupby(["seed", "method"]).mean(numeric_only=True)


def _best(table: pd.DataFrame, lower: bool) -> pd.Series:
    rest = table[[METHODS[m] for m in OTHERS]]
    return rest.min(axis=1) if lower else rest.max(axis=1)


def _over_best(
    id: str,
    words: str,
    number: float,
    mean: pd.DataFrame,
    column: str = "plotted_score",
    lower: bool = False,
) -> Claim:
    table = mean[column].unstack()
    best = _best(table, lower)
    gain = (best - table["ACME"] if lower else table["ACME"] - best) / best.abs()
    return Claim(id, words, number, by_seed(gain))


def _paper_score(method: str) -> float:
    accuracy, size, energy, _ = paper.FIG9[method]
    return accuracy - 0.5 * (size + energy)


def _paper_ratio(column: int) -> float:
    """The paper's efficiency of ACME over the best of the others, less 1."""
    efficiency = {m: row[0] / row[column] for m, row in paper.FIG9.items()}
    return efficiency.pop("ACME") / max(efficiency.values()) - 1
