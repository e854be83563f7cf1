"""Our goals for what devices tell each other.

Numbers are means over devices first, then over seeds: devices of one draw listen to each other, so
that the seeds are what an interval may count. Who has no peer of its context can gain nothing, and
is judged apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from models.statistics import SURE, by_chance
from tasks.experiments.claim import Claim, by_seed

ALONE = "none"
LEVEL = 0.05
A_POINT = 0.01  # that a context may lose on its received model where it knows all of it already
SPARED = 0.005  # half a point that an exchange may cost where there is nothing to gain


@dataclass(frozen=True)
class Goals:
    """Of a case: the share of the gap from what was received to the ceiling that is closed, and
    bytes up over those of the raw train samples, of statistics and of a round's weights."""

    gap: float
    statistics: float
    weights: float


def contexts_claims(frame: pd.DataFrame) -> list[Claim]:
    """Behind sensors."""
    return _claims("contexts", frame, Goals(0.6, 0.02, 0.065))


def languages_claims(frame: pd.DataFrame) -> list[Claim]:
    """In languages; what goes up is stated, whatever it is."""
    return _claims("languages", frame, Goals(0.0, 1.0, 1.0))


def default_of(frame: pd.DataFrame) -> str:
    """The exchange that the settings name."""
    return str(frame.loc[frame.default, "exchange"].iloc[0])


def cells_of(frame: pd.DataFrame) -> dict[tuple[int, int], pd.DataFrame]:
    """The rows by samples of a class and number of unseen classes."""
    return {
        (int(str(samples)), int(str(unseen))): part
        for (samples, unseen), part in frame.groupby(["samples", "unseen"])
    }


def with_peers(frame: pd.DataFrame) -> pd.DataFrame:
    """The devices that have a peer of their context."""
    return frame[frame.peers > 0]


def means(part: pd.DataFrame, column: str) -> pd.DataFrame:
    """Of a column, the mean over devices ``(seeds, exchanges)``."""
    return part.pivot_table(index="seed", columns="exchange", values=column)


def gap_closed(part: pd.DataFrame) -> pd.DataFrame:
    """The share of the gap from what was received to the ceiling ``(seeds, exchanges)``."""
    received = means(part, "received")
    return (means(part, "accuracy") - received) / (means(part, "ceiling") - received)


def uplink(part: pd.DataFrame) -> pd.DataFrame:
    """Bytes up over those of the raw train samples ``(seeds, exchanges)``."""
    return means(part, "uplink_bytes") / means(part, "raw_bytes")


def below(frame: pd.DataFrame) -> pd.Series:
    """Whether a device ended below what it received, told its classes: of the test samples that the
    two answer differently so many are lost that chance alone would hardly bring it about."""
    return pd.Series(by_chance(frame.won, frame.lost) <= SURE, frame.index)


def allowed(count: int) -> int:
    """Of so many devices, how many :func:`below` may name by chance, but in one of twenty cases."""
    from scipy.stats import binom

    return int(binom.ppf(1 - LEVEL, count, SURE))


def words_of(samples: int, unseen: int) -> str:
    """A cell in words."""
    return f"{samples} a class, {f'{unseen} classes missing' if unseen else 'all classes seen'}"


def _claims(case: str, frame: pd.DataFrame, goals: Goals) -> list[Claim]:
    name, heard, most = default_of(frame), with_peers(frame), frame.samples.max()
    claims = []
    for cell, part in cells_of(heard).items():
        tag, words = f"{cell[0]}-{cell[1]}", words_of(*cell)
        accuracy, enough = means(part, "accuracy"), cell == (most, 0)
        claims += [
            Claim(
                f"{case}.over-alone-{tag}",
                f"{words}: {name} over the same steps alone"
                + (f" (neutral: {SPARED} below)" if enough else ""),
                None,
                by_seed(accuracy[name] - accuracy[ALONE]),
                neutral=-SPARED if enough else 0.0,
            ),
            Claim(
                f"{case}.gap-closed-{tag}",
                f"{words}: share of the gap from received, told its classes, to the ceiling that "
                f"{name} closes (neutral: {goals.gap:g})",
                None,
                by_seed(gap_closed(part)[name]),
                neutral=goals.gap,
            ),
        ]
    if len(lone := frame[frame.peers == 0]):
        accuracy = means(lone, "accuracy")
        words = f"devices without a peer: {name} over the same steps alone"
        values = by_seed(accuracy[name] - accuracy[ALONE])
        claims.append(
            Claim(
                f"{case}.without-peers",
                f"{words} (neutral: {SPARED} below)",
                None,
                values,
                neutral=-SPARED,
            )
        )
    return [*claims, *_kept(case, frame[frame.default]), *_uplinks(case, frame, goals)]


def _kept(case: str, ours: pd.DataFrame) -> list[Claim]:
    """That nobody ends below what it received: no context, no device, and not the mean of them."""
    over = (ours.accuracy - ours.received).groupby([ours.seed, ours.samples, ours.unseen]).mean()
    least = over.groupby("seed").min()
    found, count = below(ours), len(ours)
    most = allowed(count)
    return [
        *(_least(case, cell, part) for cell, part in cells_of(ours).items()),
        Claim(
            f"{case}.over-received",
            "what ships over received, told its classes: least of the means over devices",
            None,
            by_seed(least),
        ),
        Claim(
            f"{case}.below-received",
            f"share of devices that end below it beyond their paired bound (neutral: the {most} of "
            f"{count} that chance may bring)",
            None,
            by_seed(found.groupby(ours.seed).mean()),
            "lower",
            most / count,
        ),
    ]


def _least(case: str, cell: tuple[int, int], part: pd.DataFrame) -> Claim:
    """Of the context that gains least, how much."""
    over = (part.accuracy - part.received).groupby([part.seed, part.context]).mean().unstack()
    least = str(over.mean().idxmin())
    return Claim(
        f"{case}.least-context-{cell[0]}-{cell[1]}",
        f"{words_of(*cell)}: what ships over received, told its classes, of the context that gains "
        f"least, {least} (neutral: {A_POINT} below)",
        None,
        by_seed(over[least]),
        neutral=-A_POINT,
    )


def _uplinks(case: str, frame: pd.DataFrame, goals: Goals) -> list[Claim]:
    """What goes up where devices have the most samples."""
    most = frame.samples.max()
    part = frame[(frame.samples == most) & (frame.unseen == 0)]
    a_round = part.assign(uplink_bytes=part.uplink_bytes / part["rounds"])
    limits = (
        ("statistics", "", part, goals.statistics),
        ("weights", " a round", a_round, goals.weights),
    )
    return [
        Claim(
            f"{case}.uplink-{exchange}",
            f"{most} a class: bytes up by {exchange}{per} over those of the raw train samples "
            f"(neutral: {goal:g})",
            None,
            by_seed(uplink(rows)[exchange]),
            "lower",
            goal,
        )
        for exchange, per, rows, goal in limits
        if exchange in set(frame.exchange)
    ]
