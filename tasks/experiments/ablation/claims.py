"""The ablation: ours less the letter of the paper, a part at a time."""

from __future__ import annotations

import pandas as pd

from tasks.experiments.claim import Claim, by_seed

AGAINST = (  # part, ours, the other, metric, words
    ("backbone", "ours", "no distillation", "test accuracy", "distillation, mean over the grid"),
    (
        "backbone",
        "ours",
        "layers spread evenly",
        "test accuracy",
        "the first layers kept against layers spread evenly, mean over the grid",
    ),
    (
        "backbone",
        "ours",
        "Eq. 9 without labels",
        "test accuracy",
        "labels beside Eq. 9 in distillation, mean over the grid",
    ),
    (
        "Eq. 20",
        "ours",
        "as printed",
        "after pruning",
        "Eq. 20 debiased at temperature .1 against as printed, before tuning",
    ),
    ("Eq. 20", "ours", "as printed", "after tuning", "the same after tuning"),
    (
        "importance",
        "group",
        "sum",
        "after pruning",
        "a neuron's importance as the square of the sum against the sum of squares, before tuning",
    ),
    ("importance", "group", "sum", "after tuning", "the same after tuning"),
)


def ablation_claims(frame: pd.DataFrame) -> list[Claim]:
    """Nothing of this is claimed by the paper: ``paper`` is None throughout."""
    claims = [
        Claim(
            f"ablation.{part}.{other}.{metric}".lower().replace(" ", "-").replace("eq.-", "eq"),
            words,
            None,
            by_seed(_values(frame, part, ours, metric) - _values(frame, part, other, metric)),
        )
        for part, ours, other, metric, words in AGAINST
    ]
    return [*claims, *_windows(frame), *_bytes(frame)]


def _values(frame: pd.DataFrame, part: str, setting: str, metric: str) -> pd.Series:
    kept = (frame.part == part) & (frame.setting == setting) & (frame.metric == metric)
    return frame[kept].set_index("seed")["value"]


def _windows(frame: pd.DataFrame) -> list[Claim]:
    settings = frame[frame.part == "gamma_p"].setting.unique()
    low, high = min(settings, key=float), max(settings, key=float)
    claims = []
    for metric, better in (("plotted score", "higher"), ("accuracy", "lower")):
        gain = _values(frame, "gamma_p", high, metric) - _values(frame, "gamma_p", low, metric)
        claims.append(
            Claim(
                f"ablation.gamma_p.{metric.replace(' ', '-')}",
                f"{metric} of ACME's choice at gamma_p {high} less that at {low}",
                None,
                by_seed(gain),
                better,  # type: ignore[arg-type]
            )
        )
    return claims


def _bytes(frame: pd.DataFrame) -> list[Claim]:
    raw = _values(frame, "importance sets", "raw data", "bytes up")
    return [
        Claim(
            f"ablation.sets.{level}",
            f"bytes of importance sets, a number a {level}, over a device's raw data (neutral: 1)",
            None,
            by_seed(_values(frame, "importance sets", level, "bytes up") / raw),
            "lower",
            1.0,
        )
        for level in ("neuron", "parameter")
    ]
