"""docs/privacy.md's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from models.refinement.sketches import SKETCHES
from models.statistics import interval
from tasks.experiments.privacy.finished import Finished
from tasks.experiments.privacy.measures import Found
from tasks.experiments.privacy.messages import ATTACKS, NOISY, Attack, described, sketched
from tasks.experiments.privacy.table import FEW, Tables

PAGE = Path("docs/privacy.md")
MARK = "<!-- written by make privacy -->\n"
SHARED = "| `shared_samples` | the samples | 1 | 1 | 1 | 1 (itself) |"


def page(text: str, tables: Tables, runs: Mapping[str, Finished], seconds: float) -> str:
    """The page with these tables behind its words; ``runs`` by the folders of their cases."""
    messages = [_messages("What each kind reveals", tables.many, tables.few)]
    messages += [
        _messages(f"What each kind reveals in `{folder}`", run.many, run.few)
        for folder, run in runs.items()
    ]
    took = f"Made in {seconds / 60:.0f} minutes, on one thread."
    parts = [*messages, _sketches(tables, runs), _noise(tables), took]
    return "\n".join([text.split(MARK)[0] + MARK, *parts, ""])


def _messages(title: str, many: Mapping[str, Found], few: Mapping[str, Found]) -> str:
    """What every kind reveals, that some device sends."""
    lines = [
        f"### {title}",
        "",
        f"| message | bytes | classes | members, all samples | members, {FEW} a class | rebuilt "
        "(others' samples; class mean) |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, of in many.items():
        if not of.sent_bytes or name not in {attack.name for attack in ATTACKS}:
            continue
        rebuilt = f"{_spread(of.rebuilt)} ({_number(of.strangers)}; {_number(of.usual)})"
        lines.append(
            f"| {name} | {mean(of.sent_bytes):,.0f} | {_spread(of.classes)} "
            f"| {_spread(of.members)} | {_spread(few[name].members)} | {rebuilt} |"
        )
    return "\n".join([*lines, SHARED, ""])


def _sketches(tables: Tables, runs: Mapping[str, Finished]) -> str:
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
        for run in runs.values():
            size, shares = run.recovered[name]
            share = shares and f"{_spread([s.share for s in shares])} ({shares[0].chance:.2f})"
            cells += [f"{size:,}", share or "one context"]
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
