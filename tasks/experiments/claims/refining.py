"""Fig. 10 and 11."""

from __future__ import annotations

import pandas as pd

from tasks.experiments import paper
from tasks.experiments.claims import Claim, by_seed
from tasks.experiments.refining import RANDOM


def fig10_claims(frame: pd.DataFrame) -> list[Claim]:
    """Wasserstein against Jensen-Shannon at recovering who is alike."""
    claims = []
    for debias, words in ((False, "as printed"), (True, "debiased (ours)")):
        part = frame[(frame.debiased == debias) & (frame.level != "iid")]
        for column, what in (("rank_agreement", "rank agreement"), ("purity", "cluster purity")):
            table = part.pivot_table(index="seed", columns="distance", values=column)
            tag = "debiased" if debias else "literal"
            claims.append(
                Claim(
                    f"fig10.{column.replace('_', '-')}-{tag}",
                    f"{what} with the true groups, Wasserstein less JS, distances {words}",
                    None,
                    by_seed(table["wasserstein"] - table["js"]),
                )
            )
            claims.append(
                Claim(
                    f"fig10.wasserstein-{column.replace('_', '-')}-{tag}",
                    f"{what} of Wasserstein, distances {words} (neutral: .5)",
                    None,
                    by_seed(table["wasserstein"]),
                    neutral=0.5,
                )
            )
    return claims


def fig11_claims(frame: pd.DataFrame) -> list[Claim]:
    """Gains by level at the paper's place (most samples, lighter pruning, after tuning); and what
    collaboration is worth right after heavy pruning where data are scarce."""
    claims = []
    plenty = frame[
        (frame.samples == frame.samples.max()) & (frame.strength == frame.strength.min())
    ]
    for level, numbers in paper.FIG11.items():
        part = plenty[plenty.level == level]
        if part.empty:
            continue
        tuned = part.pivot_table(index="seed", columns="method", values="after_tuning")
        base = part.groupby("seed")[["received", "own_classes"]].first()
        rest = [m for m in ("alone", "average", "js")]
        ours, best = tuned["wasserstein"], tuned[rest].max(axis=1)
        beaten = max(numbers[m] for m in rest)
        claims += [
            Claim(
                f"fig11.{level}.gain",
                f"{level}: accuracy gained over the received model",
                numbers["wasserstein"] / 100,
                by_seed(ours - base["received"]),
            ),
            Claim(
                f"fig11.{level}.gain-own-classes",
                f"{level}: the same over the received model restricted to the device's classes",
                None,
                by_seed(ours - base["own_classes"]),
            ),
            Claim(
                f"fig11.{level}.over-alone",
                f"{level}: Wasserstein over Alone after tuning",
                (numbers["wasserstein"] - numbers["alone"]) / 100,
                by_seed(ours - tuned["alone"]),
            ),
            Claim(
                f"fig11.{level}.over-best",
                f"{level}: Wasserstein over the best of Alone, Avg and JS after tuning",
                (numbers["wasserstein"] - beaten) / 100,
                by_seed(ours - best),
            ),
            Claim(
                f"fig11.{level}.over-random",
                f"{level}: Wasserstein over random pruning after tuning",
                None,
                by_seed(ours - tuned[RANDOM]),
            ),
        ]
    return claims + _scarce_claims(frame)


def _scarce_claims(frame: pd.DataFrame) -> list[Claim]:
    scarce = frame[
        (frame.samples == frame.samples.min()) & (frame.strength == frame.strength.max())
    ]
    claims = []
    for column, when in (("after_pruning", "before tuning"), ("after_tuning", "after tuning")):
        table = scarce.pivot_table(index="seed", columns="method", values=column)
        for other in ("alone", "average", RANDOM):
            claims.append(
                Claim(
                    f"fig11.scarce.{column.replace('_', '-')}.over-{other.split()[0]}",
                    f"{int(frame.samples.min())} train samples, {frame.strength.max():.0%} pruned, "
                    f"all levels: Wasserstein over {other}, {when}",
                    None,
                    by_seed(table["wasserstein"] - table[other]),
                )
            )
    return claims
