"""Our question: whether importance chooses better than chance what a device discards."""

from __future__ import annotations

import pandas as pd

from tasks.experiments.claim import Claim, by_seed

RANDOM = "random"


def lost(frame: pd.DataFrame) -> pd.DataFrame:
    """What discarding loses, in accuracy ``(fractions and seeds, rankings)``: means over
    devices."""
    found = frame.assign(lost=frame.before - frame.accuracy)
    return found.pivot_table(index=["fraction", "seed"], columns="prune_by", values="lost")


def prune_claims(frame: pd.DataFrame) -> list[Claim]:
    """A claim a ranking: at the largest part that goes, it loses less than chance does."""
    found, most = lost(frame), frame.fraction.max()
    return [
        Claim(
            f"prune.{name}",
            f"discarding {most:.0%} of the neurons by {name} over at random",
            None,
            by_seed((found[RANDOM] - found[name]).loc[most]),
        )
        for name in found.columns
        if name != RANDOM
    ]
