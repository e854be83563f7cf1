"""docs/exchange.md's tables: what each exchange gains, closes and costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from models.refinement.expected import PAYS
from tasks.experiments.canvas import mean_of
from tasks.experiments.exchange.claims import (
    ALONE,
    allowed,
    below,
    cells_of,
    default_of,
    gap_closed,
    means,
    uplink,
    with_peers,
)


def tables_of(frame: pd.DataFrame) -> str:
    """All of a case, as Markdown."""
    heard, names = with_peers(frame), list(dict.fromkeys(frame.exchange))
    others = [name for name in names if name != ALONE]
    facts = f"{heard.groupby('seed').device.nunique().iloc[0]} devices that have a peer"
    return "\n\n".join(
        [
            f"Accuracy on the device's test split, of {facts}, and points over alone (mean of "
            f"{frame.seed.nunique()} seeds ± half of the 95 % interval). The default is "
            f"`{default_of(frame)}`; the ceiling has {_range(heard.ceiling_samples)} train samples "
            "a device.",
            _gains(heard, others),
            "On the missing classes alone:",
            _missing(heard[heard.unseen > 0], others),
            "Share of the gap from received, told its classes, to the ceiling that is closed:",
            _by_cell(heard, names, gap_closed, lambda of: f"{100 * of.mean():.0f} %"),
            "kB up a device in all rounds, and over the bytes of its raw train samples:",
            _costs(frame, names),
            _kept(frame[frame.default]),
            _predicted(heard),
        ]
    )


def _gains(frame: pd.DataFrame, others: Sequence[str]) -> str:
    rows = []
    for cell, part in cells_of(frame).items():
        accuracy = means(part, "accuracy")
        known = (means(part, "received")[ALONE], accuracy[ALONE], means(part, "ceiling")[ALONE])
        rows.append(
            [
                *_cell(cell),
                *(f"{of.mean():.3f}" for of in known),
                *(_points(accuracy[name] - accuracy[ALONE]) for name in others),
            ]
        )
    return table([*CELL, "received, told its classes", "alone", "ceiling", *others], rows)


def _missing(frame: pd.DataFrame, others: Sequence[str]) -> str:
    def shown(part: pd.DataFrame) -> list[str]:
        of = means(part.dropna(subset="accuracy_wanted"), "accuracy_wanted")
        return [f"{of[ALONE].mean():.3f}", *(_points(of[name] - of[ALONE]) for name in others)]

    rows = [[*_cell(cell), *shown(part)] for cell, part in cells_of(frame).items()]
    return table([*CELL, "alone", *others], rows)


def _by_cell(
    frame: pd.DataFrame,
    names: Sequence[str],
    measured: Callable[[pd.DataFrame], pd.DataFrame],
    shown: Callable[[pd.Series], str],
) -> str:
    found = {cell: measured(part) for cell, part in cells_of(frame).items()}
    rows = [[*_cell(cell), *(shown(of[name]) for name in names)] for cell, of in found.items()]
    return table([*CELL, *_called(names)], rows)


def _costs(frame: pd.DataFrame, names: Sequence[str]) -> str:
    seen = frame[frame.unseen == frame.unseen.min()]
    rows = []
    for (samples, _), part in cells_of(seen).items():
        share, total = uplink(part).mean(), means(part, "uplink_bytes").mean()
        raw = part.raw_bytes.mean() / 1000
        shown = [f"{total[name] / 1000:.1f} ({share[name]:.1%})" for name in names]
        rows.append([str(samples), f"{raw:.1f}", *shown])
    return table(["samples a class", "raw", *_called(names)], rows)


def _kept(ours: pd.DataFrame) -> str:
    found, ways = int(below(ours).sum()), ours.way_shipped.value_counts(normalize=True)
    shares = ", ".join(f"{way} {share:.0%}" for way, share in ways.items())
    return (
        f"Of {len(ours)} devices and draws, {found} ended below what they received, told its "
        f"classes, beyond their paired bound; chance allows {allowed(len(ours))}. What shipped: "
        f"{shares}."
    )


def _predicted(frame: pd.DataFrame) -> str:
    """How often what a device expected came: of the default, by device and draw, on test splits."""
    keys = ["seed", "samples", "unseen", "device"]
    ours, alone = (
        of.set_index(keys) for of in (frame[frame.default], frame[frame.exchange == ALONE])
    )
    gained, pays = ours.accuracy - alone.accuracy, ours.predicted >= PAYS
    worth, spared = gained[pays], gained[~pays]
    words = (
        f"What a device expected before it sent anything: {len(worth)} times {100 * PAYS:g} "
        f"points or more, and then {(worth > 0).mean():.0%} gained over the same steps alone, on "
        f"the mean {100 * worth.mean():+.1f} points"
    )
    if not len(spared):
        return f"{words}."
    return (
        f"{words}; {len(spared)} times less, where it would have stayed silent had it asked first, "
        f"and the others' messages gained it {100 * spared.mean():+.1f} points on the mean."
    )


CELL = ("samples a class", "classes missing")


def _cell(cell: tuple[int, int]) -> list[str]:
    return [str(number) for number in cell]


def _called(names: Iterable[str]) -> list[str]:
    return ["alone" if name == ALONE else name for name in names]


def _points(gain: pd.Series) -> str:
    mean, half = mean_of(100 * gain)
    return f"{mean:+.1f} ± {half:.1f}" if len(gain) > 1 else f"{mean:+.1f}"


def _range(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
