"""What the default run is judged by. The paper reports no accuracy beside which these can stand:
what a reader should ask first is whether refining is worth more than what takes no training, and
whether the reference is worth cutting."""

from __future__ import annotations

import pandas as pd

from tasks.experiments import paper
from tasks.experiments.claim import Claim, by_seed

GOALS = {"public_reference": 0.87, "public_full": 0.87, "public_smallest": 0.84}
"""Accuracies on public test data that we mean to reach on Fashion-MNIST."""
PUBLIC = {
    "public_reference": "the reference",
    "public_full": "its elastic form, whole",
    "public_smallest": "the smallest variant",
    "public_cnn": "a plain CNN",
}
ACCURACIES = {
    "received": "the received model",
    "received_own_classes": "the same, answering only the device's own classes",
    "accuracy": "the refined model",
    "accuracy_ceiling": "the ceiling: the same header on many more samples of its context",
    "accuracy_reference_own_classes": "the reference, told the device's classes",
    "accuracy_cnn_own_classes": "a plain CNN, told the device's classes",
}


def fleet_claims(frame: pd.DataFrame) -> list[Claim]:
    """Means over the devices, by seed."""
    means = frame.groupby("seed").mean(numeric_only=True)
    sums = frame.groupby("seed")[["uplink_bytes", "shared_bytes", "raw_bytes"]].sum()
    return [
        Claim(
            "fleet.over-received",
            "refined over received",
            None,
            by_seed(means.accuracy - means.received),
        ),
        Claim(
            "fleet.over-own-classes",
            "refined over received and told which classes the device has (no training)",
            None,
            by_seed(means.accuracy - means.received_own_classes),
        ),
        *_where_known(frame, means),
        Claim(
            "fleet.upload",
            "bytes that devices send up over those of their raw data (neutral: 1)",
            paper.UPLOAD_RATIO,
            by_seed(sums.uplink_bytes / sums.raw_bytes),
            "lower",
            1.0,
        ),
        Claim(
            "fleet.upload-with-shared",
            "the same with the samples that devices consented to share",
            paper.UPLOAD_RATIO,
            by_seed((sums.uplink_bytes + sums.shared_bytes) / sums.raw_bytes),
            "lower",
            1.0,
        ),
    ]


def _where_known(frame: pd.DataFrame, means: pd.DataFrame) -> list[Claim]:
    """Claims of what not every run has: a ceiling, a plain CNN, contexts, public accuracies."""
    claims = []
    if "accuracy_ceiling" in frame:
        of = frame.dropna(subset="accuracy_ceiling").groupby("seed").mean(numeric_only=True)
        told = of.received_own_classes
        share = (of.accuracy - told) / (of.accuracy_ceiling - told)
        words = (
            "share of the gap closed from there to the ceiling, many more samples of its context"
        )
        claims.append(Claim("fleet.gap-closed", words, None, by_seed(share)))
    if "accuracy_cnn_own_classes" in frame:
        over = means.accuracy - means.accuracy_cnn_own_classes
        words = "refined over a plain CNN that is told which classes the device has"
        claims.append(Claim("fleet.over-cnn", words, None, by_seed(over)))
    if "recovered" in frame and frame.recovered.notna().any():
        beyond = means.recovered - means.recovered_by_chance
        words = "share of a device's weight on peers that goes to its own context, over chance"
        claims.append(Claim("fleet.contexts-recovered", words, None, by_seed(beyond)))
    for column in (name for name in PUBLIC if name in frame):
        goal = GOALS.get(column)
        words = f"public test accuracy: {PUBLIC[column]}" + (
            f" (neutral: our goal, {goal})" if goal else ""
        )
        name = f"fleet.{column.replace('_', '-')}"
        claims.append(Claim(name, words, None, by_seed(means[column]), neutral=goal or 0.0))
    return claims


def fleet_table(frame: pd.DataFrame) -> list[tuple[str, pd.Series, pd.Series]]:
    """Of each accuracy, its name and by seed the mean over the devices and the worst of them."""
    by = frame.groupby("seed")
    return [
        (words, by[column].mean(), by[column].min())
        for column, words in ACCURACIES.items()
        if column in frame
    ]
