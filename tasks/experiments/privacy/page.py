"""docs/privacy.md's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from models.refinement.recovery import Recovery
from models.refinement.sketches import SKETCHES
from models.statistics import interval
from tasks.experiments.privacy.messages import ATTACKS, NOISY, Attack, described, sketched
from tasks.experiments.privacy.table import FEW, Tables

PAGE = Path("docs/privacy.md")
MARK = "<!-- written by make privacy -->\n"
Runs = Mapping[str, Mapping[str, tuple[int, list[Recovery]]]]
"""By case and kind of sketch its bytes, and what it recovers."""
SHARED = "| `shared_samples` | the samples | 1 | 1 | 1 | 1 (itself) |"


def page(text: str, tables: Tables, runs: Runs) -> str:
    """The page with these tables behind its words."""
    parts = [_messages(tables), _sketches(tables, runs), _noise(tables)]
    took = f"Made in {tables.seconds / 60:.0f} minutes, on one thread."
    return "\n".join([text.split(MARK)[0] + MARK, *parts, took, ""])


def _messages(tables: Tables) -> str:
    """What every kind reveals."""
    lines = [
        "### What each kind reveals",
        "",
        f"| message | bytes | classes | members, all samples | members, {FEW} a class | rebuilt "
        "(others' samples; class mean) |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for attack in ATTACKS:
        many, few = tables.many[attack.name], tables.few[attack.name]
        rebuilt = f"{_spread(many.rebuilt)} ({_number(many.strangers)}; {_number(many.usual)})"
        lines.append(
            f"| {attack.name} | {mean(many.sent_bytes):,.0f} | {_spread(many.classes)} "
            f"| {_spread(many.members)} | {_spread(few.members)} | {rebuilt} |"
        )
    return "\n".join([*lines, SHARED, ""])


def _sketches(tables: Tables, runs: Runs) -> str:
    """What each sketch recovers."""
    cases = [f"`{folder}`" for folder in runs]
    lines = [
        "### What sketches recover",
        "",
        " | ".join(["| sketch", "here", *(f"{case}: bytes | share (chance)" for case in cases)])
        + " |",
        "|---|" + "--:|" * (1 + 2 * len(cases)),
    ]
    for name in SKETCHES:
        cells = [f"`{name}`", _spread(tables.contexts[sketched(name).name])]
        for found in runs.values():
            size, shares = found[name]
            cells += [f"{size:,}", f"{_spread([s.share for s in shares])} ({shares[0].chance:.2f})"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _noise(tables: Tables) -> str:
    """What noise keeps back, and what it costs."""
    lines = [
        "### What noise keeps back, and costs",
        "",
        f"| message | classes | members, all samples | members, {FEW} a class | costs |",
        "|---|--:|--:|--:|---|",
    ]
    for attack in (sketched("quantiles"), described(), *NOISY):
        many, few = tables.many[attack.name], tables.few[attack.name]
        lines.append(
            f"| {attack.name} | {_spread(many.classes)} | {_spread(many.members)} "
            f"| {_spread(few.members)} | {_cost(tables, attack)} |"
        )
    return "\n".join([*lines, ""])


def _cost(tables: Tables, attack: Attack) -> str:
    if attack.name in tables.contexts:
        return f"share to the same context {_spread(tables.contexts[attack.name])}"
    return f"gain {_spread([100 * gain for gain in tables.gains[attack.noise]], 1)} points"


def _spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean, and half of its 95 % interval over seeds and devices."""
    found = interval(values)
    return _number(values, digits) + (
        f" ± {(found[1] - found[0]) / 2:.{digits}f}" if found and found[0] < found[1] else ""
    )


def _number(values: Sequence[float], digits: int = 2) -> str:
    return f"{mean(values):.{digits}f}"
