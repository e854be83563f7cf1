"""Fig. 10 and 11."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from tasks.experiments import paper
from tasks.experiments.claim import Claim, by_seed
from tasks.experiments.refining.cells import RANDOM, TUNED


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
    """Gains by level in the paper's place (most samples, lighter pruning, after tuning); and what
    collaboration is worth where data are scarcer and pruning is harder."""
    plenty, *scarce = corners_of(frame)
    claims = []
    for level, numbers in paper.FIG11.items():
        part = plenty[plenty.level == level]
        if len(part):
            claims += _level_claims(part, level, numbers)
    return claims + [claim for part in scarce for claim in _scarce_claims(part)]


def corners_of(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each corner, in the order of the scale."""
    return [part for _, part in frame.groupby(["header", "samples", "strength"], sort=False)]


def _level_claims(part: pd.DataFrame, level: str, numbers: Mapping[str, float]) -> list[Claim]:
    tuned = part.pivot_table(index="seed", columns="method", values="after_tuning")
    own = part.pivot_table(index="seed", columns="method", values="after_tuning_own_classes")
    base = part.groupby("seed")[["received", "own_classes"]].first()
    rest = ["alone", "average", "js"]
    ours, best = tuned["wasserstein"], tuned[rest].max(axis=1)
    beaten = max(numbers[m] for m in rest)
    table: list[tuple[str, str, float | None, pd.Series]] = [
        (
            "gain",
            "accuracy gained over the received model",
            numbers["wasserstein"] / 100,
            ours - base["received"],
        ),
        (
            "gain-own-classes",
            "accuracy gained when both models may answer the device's classes alone",
            None,
            own["wasserstein"] - base["own_classes"],
        ),
        (
            "over-alone",
            "Wasserstein over Alone after tuning",
            (numbers["wasserstein"] - numbers["alone"]) / 100,
            ours - tuned["alone"],
        ),
        (
            "over-best",
            "Wasserstein over the best of Alone, Avg and JS after tuning",
            (numbers["wasserstein"] - beaten) / 100,
            ours - best,
        ),
        ("over-random", "Wasserstein over random pruning after tuning", None, ours - tuned[RANDOM]),
        ("over-tuning", "Wasserstein over fine-tuning alone", None, ours - tuned[TUNED]),
    ]
    return [
        Claim(f"fig11.{level}.{tag}", f"{level}: {words}", number, by_seed(values))
        for tag, words, number, values in table
    ]


def _scarce_claims(part: pd.DataFrame) -> list[Claim]:
    first = part.iloc[0]
    place = f"{first.header} header, {first.samples} train samples, {first.strength:.0%} pruned"
    tag = f"fig11.{first.header}-{first.samples}-{100 * first.strength:.0f}"
    claims = []
    for column, when in (("after_pruning", "before tuning"), ("after_tuning", "after tuning")):
        table = part.pivot_table(index="seed", columns="method", values=column)
        for other in ("alone", "average", RANDOM):
            claims.append(
                Claim(
                    f"{tag}.{column.replace('_', '-')}.over-{other.split()[0]}",
                    f"{place}, all levels: Wasserstein over {other}, {when}",
                    None,
                    by_seed(table["wasserstein"] - table[other]),
                )
            )
    return claims
