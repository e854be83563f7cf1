"""Our goal: one liar of four or five costs the others a point at most, on the mean."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tasks.experiments.claim import Claim, by_seed

MOST = 0.01


def lost(frame: pd.DataFrame) -> pd.Series:
    """What the others lose, in accuracy: by exchange, size, lie and seed, means over devices."""
    keys = ["exchange", "size", "lie", "seed"]
    return (frame.accuracy_honest - frame.accuracy).groupby([frame[key] for key in keys]).mean()


def liars_claims(frame: pd.DataFrame) -> list[Claim]:
    """A claim an exchange: the lie that costs the most."""
    found, claims = lost(frame), []
    for exchange in dict.fromkeys(frame.exchange):
        worst: Any = found[exchange].groupby(level=["size", "lie"]).mean().idxmax()
        size, lie = worst
        words = f"what one liar of {size} costs the others at most ({lie}; neutral: {MOST:g})"
        values = by_seed(found[exchange][size][lie])
        claims.append(
            Claim(f"liars.{exchange}", f"{exchange}: {words}", None, values, "lower", MOST)
        )
    return claims
