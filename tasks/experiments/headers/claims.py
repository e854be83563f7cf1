"""Fig. 7b, 8, 12 and 13b."""

from __future__ import annotations

import pandas as pd

from models.header.config import SEARCHED
from tasks.experiments import paper
from tasks.experiments.claim import Claim

HALVES = {"small": "smaller", "large": "larger"}


def against(frame: pd.DataFrame, other: str, points: pd.DataFrame) -> dict[int, float]:
    """By seed, the mean over ``points`` of what the searched header gains over another."""
    kept = frame.merge(points)
    table = kept.pivot_table(
        index=["seed", "width", "depth"], columns="header", values="test_accuracy"
    )
    gain = (table[SEARCHED] - table[other]).groupby("seed").mean()
    return {int(str(s)): float(v) for s, v in gain.items()}


def points_of(frame: pd.DataFrame, half: str) -> pd.DataFrame:
    """The smaller or the larger half of the backbones, by parameters; ``all`` takes both."""
    linear = frame[frame.header == "linear"]
    sizes = linear.groupby(["width", "depth"])["total_parameters"].mean().reset_index()
    sizes = sizes.sort_values(by=["total_parameters"], ignore_index=True)
    middle = len(sizes) // 2
    parts = {"small": sizes[:middle], "large": sizes[middle:], "all": sizes}
    return parts[half][["width", "depth"]]


def fig7b_claims(frame: pd.DataFrame, prefix: str = "fig7b") -> list[Claim]:
    """Searched against the four headers that the paper plots, and against linear alone."""
    plotted = [k for k in ("linear", "mlp", "cnn-project", "mixer") if k in set(frame.header)]
    whole = frame[frame.width == frame.width.max()]

    def over_mean(half: str) -> dict[int, float]:
        gains = [against(whole, k, points_of(whole, half)) for k in plotted]
        return {s: sum(g[s] for g in gains) / len(gains) for s in gains[0]}

    first = prefix == "fig7b"  # else Fig. 13b, on the second data set
    table = paper.FIG7B if first else paper.FIG13B
    numbers = (0.0902, 0.03, None) if first else (None, None, 0.1443)
    words = "searched header over the mean of linear, MLP, CNN-Project and Mixer"
    claims = [
        Claim(f"{prefix}.small", f"{words}, small backbones", numbers[0], over_mean("small")),
        Claim(f"{prefix}.large", f"{words}, large backbones", numbers[1], over_mean("large")),
        Claim(f"{prefix}.all", f"{words}, all sizes", numbers[2], over_mean("all")),
    ]
    for kind in sorted(set(whole.header) - {SEARCHED}):
        claims.append(
            Claim(
                f"{prefix}.over-{kind}",
                f"searched header over {kind}, all sizes",
                paper.mean_gain(table, kind),
                against(whole, kind, points_of(whole, "all")),
            )
        )
    return claims


def fig13b_claims(frame: pd.DataFrame) -> list[Claim]:
    """Fig. 7b's on a second data set."""
    return fig7b_claims(frame, "fig13b")


def fig8_claims(frame: pd.DataFrame) -> list[Claim]:
    """The grid: searched never loses; CNN beats linear on small backbones, not on large ones."""
    kinds = [k for k in sorted(set(frame.header)) if k in paper.FIG8 and k != SEARCHED]
    claims = [
        Claim(
            f"fig8.over-{kind}-{half}",
            f"searched over {kind}, the {HALVES[half]} half of the grid",
            paper.halves(SEARCHED, kind)[half],
            against(frame, kind, points_of(frame, half)),
        )
        for kind in kinds
        for half in ("small", "large")
    ]
    for half in ("small", "large"):
        linear = against(frame, "linear", points_of(frame, half))
        cnn = against(frame, "cnn-project", points_of(frame, half))
        claims.append(
            Claim(
                f"fig8.cnn-{half}",
                f"CNN-Project over linear, the {HALVES[half]} half (paper: better on small "
                "backbones, worse on large ones)",
                paper.halves("cnn-project", "linear")[half],
                {s: linear[s] - cnn[s] for s in linear},
                better="higher" if half == "small" else "lower",
            )
        )
    return claims


def fig12_claims(frame: pd.DataFrame) -> list[Claim]:
    """Larger header spaces help the smallest backbone and hurt the largest."""
    claims = []
    for backbone, better in (("smallest", "higher"), ("largest", "lower")):
        table = frame[frame.backbone == backbone].pivot_table(
            index="seed", columns=["blocks", "repeats"], values="test_accuracy"
        )
        first, last = min(table.columns), max(table.columns)
        gain = table[last] - table[first]
        claims.append(
            Claim(
                f"fig12.{backbone}",
                f"accuracy of B, U = {last} less that of {first} on the {backbone} backbone",
                paper.FIG12[backbone][2][2] - paper.FIG12[backbone][0][0],
                {int(str(s)): float(v) for s, v in gain.items()},
                better=better,  # type: ignore[arg-type]
            )
        )
    return claims
