"""What the default run is judged by. The paper reports no accuracy beside which the second of these
can stand; it is what a reader should ask first."""

from __future__ import annotations

import pandas as pd

from tasks.experiments import paper
from tasks.experiments.claim import Claim, by_seed


def fleet_claims(frame: pd.DataFrame) -> list[Claim]:
    """Means over the devices, by seed."""
    means = frame.groupby("seed")[["received", "received_own_classes", "accuracy"]].mean()
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


def fleet_table(frame: pd.DataFrame) -> list[tuple[str, pd.Series, pd.Series]]:
    """Of each accuracy, its name and by seed the mean over the devices and the worst of them."""
    names = {
        "received": "the received model",
        "received_own_classes": "the same, answering only the device's own classes",
        "accuracy": "the refined model",
    }
    by = frame.groupby("seed")
    return [(words, by[column].mean(), by[column].min()) for column, words in names.items()]
