"""Fig. 7a and 13a."""

from __future__ import annotations

import pandas as pd

from tasks.experiments import paper
from tasks.experiments.claim import Claim, by_seed
from tasks.experiments.lightweight.cells import ACME, LARGE, LONGER


def fig7a_claims(frame: pd.DataFrame, prefix: str = "fig7a") -> list[Claim]:
    """ACME's best within the limit against the baselines, on public test data and on devices."""
    first = prefix == "fig7a"
    theirs = paper.FIG7A if first else paper.FIG13A
    ours = paper.FIG7A_OURS if first else paper.FIG13A_OURS
    accuracies = [accuracy for _, accuracy in theirs.values()]
    claims = []
    for column, where in (
        ("test_accuracy", "public test data"),
        ("device_own_classes", "devices, own classes, untuned"),
        ("device_tuned_own_classes", "devices, own classes, tuned"),
    ):
        table = frame.pivot_table(index="seed", columns="model", values=column)
        rest = table.drop(columns=[m for m in (ACME, LONGER, LARGE) if m in table])
        deit = next(m for m in map(str, rest) if m.lower().startswith("deit"))
        tag = column.removesuffix("_accuracy").replace("_", "-")
        on_public = column == "test_accuracy"
        claims += [
            Claim(
                f"{prefix}.{tag}.over-best",
                f"ACME's best over the best baseline of at most its size, {where}",
                ours - max(accuracies) if on_public else None,
                by_seed(table[ACME] - rest.max(axis=1)),
            ),
            Claim(
                f"{prefix}.{tag}.over-mean",
                f"ACME's best over the mean of the baselines, {where}",
                ours - sum(accuracies) / len(accuracies) if on_public else None,
                by_seed(table[ACME] - rest.mean(axis=1)),
            ),
            Claim(
                f"{prefix}.{tag}.over-deit",
                f"ACME's best over DeiT, the same kind of model without ACME, {where}",
                None,
                by_seed(table[ACME] - table[deit]),
            ),
        ]
        if LONGER in table:
            claims.append(
                Claim(
                    f"{prefix}.{tag}.longer-over-best",
                    f"the same over the best baseline when the large model was trained longer "
                    f"first (not equal training), {where}",
                    None,
                    by_seed(table[LONGER] - rest.max(axis=1)),
                )
            )
    claims.append(_ceiling(frame, prefix))
    return claims


def fig13a_claims(frame: pd.DataFrame) -> list[Claim]:
    """Fig. 7a's on a second data set."""
    return fig7a_claims(frame, "fig13a")


def _ceiling(frame: pd.DataFrame, prefix: str) -> Claim:
    """What is cut from a model hardly beats what beats that model."""
    table = frame.pivot_table(index="seed", columns="model", values="test_accuracy")
    rest = table.drop(columns=[m for m in (ACME, LONGER, LARGE) if m in table])
    return Claim(
        f"{prefix}.large-over-best",
        "the large model itself, at any size, over the best baseline, public test data",
        None,
        by_seed(table[LARGE] - rest.max(axis=1)),
    )
