"""Why devices use no more of their limits: where the parameters go, step by step, and by which
rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import getdoc
from typing import Any

from models.matching.rules import RULES
from tasks.links.records import Match, Search
from tasks.report.columns import counted, loss_chosen_by
from tasks.settings.params import Matching

Row = Mapping[str, Any]
HALF = 0.5


@dataclass(frozen=True)
class Step:
    """One step from a limit to what ships: what it is, its parameters, and by which rule."""

    name: str
    parameters: str
    rule: str


def steps(
    match: Match,
    search: Search,
    variants: Sequence[Row],
    devices: Sequence[Row],
    recipe: Matching,
) -> list[Step]:
    """From the limits of a cluster's devices to what they ship."""
    limits, shipped = [d["storage_limit"] for d in devices], [d["params"] for d in devices]
    smallest = min(devices, key=lambda d: d["storage_limit"])
    sizes, at = counted(match, variants), _largest(match, variants)
    largest, chosen = variants[at], variants[match.chosen]
    words = "" if match.vocabulary is None else f", with {match.vocabulary:,} words"
    header = search.headers[search.winner].parameters
    return [
        Step("limits of its devices", _span(limits), "as the fleet says"),
        Step(
            "limit of the cluster",
            f"{match.limit:,}",
            f"one backbone and header for all: the limit of the smallest device, "
            f"{smallest['device']}",
        ),
        Step(
            "left for the backbone",
            f"{match.limit - recipe.header_budget:,}",
            f"matching.header_budget keeps {recipe.header_budget:,} free for the header",
        ),
        Step(
            f"largest variant that fits ({_named(largest)})",
            f"{sizes[at]:,}",
            f"{_largest_says(match, variants)}{words}",
        ),
        Step(
            f"chosen variant ({_named(chosen)})",
            f"{sizes[match.chosen]:,}",
            f"matching.method {recipe.method}",
        ),
        Step(
            "with the chosen header",
            f"{sizes[match.chosen] + header:,}",
            f"it has {header:,}, and may have {search.budget_parameters:,}",
        ),
        Step("as shipped", _span(shipped), "each device removes what it needs least"),
    ]


def choice(match: Match, variants: Sequence[Row], recipe: Matching) -> str:
    """Why this variant and not the largest that fits, in a sentence or two."""
    at = _largest(match, variants)
    rule = " ".join((getdoc(RULES[recipe.method]) or "").partition("\n\n")[0].split())
    if at == match.chosen:
        return f"Rule {recipe.method}. {rule} It chose the largest that fits."
    largest, chosen, energy = variants[at], variants[match.chosen], match.modelled_energy_joule
    losses = [loss_chosen_by(variant) for variant in (largest, chosen)]
    sizes = counted(match, variants)
    times = sizes[at] / sizes[match.chosen]
    return (
        f"Rule {recipe.method}. {rule} The largest that fits ({_named(largest)}) has "
        f"{times:.1f} times the parameters and {energy[at]:.0f} J modelled where the chosen has "
        f"{energy[match.chosen]:.0f} J, for a validation loss of {losses[0]:.3f} where "
        f"the chosen has {losses[1]:.3f}. What decides is matching.method, and matching."
        f"performance_window: {recipe.performance_window:g} nats of loss count as the same."
    )


def half_unused(
    devices: Sequence[Row], match: Match, backbone: int, recipe: Matching
) -> str | None:
    """Which devices use less than half of their limit, and what that is due to; None if all use
    more. The chosen ``backbone`` is in parameters."""
    few = [d for d in devices if d["params"] < HALF * d["storage_limit"]]
    if not few:
        return None
    names = ", ".join(d["device"] for d in few[:6]) + (f" and {len(few) - 6} more" * (len(few) > 6))
    verb, they = ("uses", "it") if len(few) == 1 else ("use", "they")
    most = max(few, key=lambda d: d["storage_limit"])
    header, left = most["params"] - backbone, match.limit - recipe.header_budget
    lost = {
        "its cluster has one backbone for all, within the limit of its smallest device": (
            most["storage_limit"] - match.limit
        ),
        "the variant was chosen smaller than what is left for the backbone": left - backbone,
        "the header needs less than what is kept free for it": recipe.header_budget - header,
    }
    parts = "; ".join(f"{count:,} because {why}" for why, count in lost.items() if count > 0)
    return (
        f"{names} {verb} less than half of what {they} may. Of {most['device']}'s "
        f"{most['storage_limit']:,} parameters {most['storage_limit'] - most['params']:,} are "
        f"unused: {parts}."
    )


def _largest(match: Match, variants: Sequence[Row]) -> int:
    sizes = counted(match, variants)
    return max(match.fitting, key=lambda i: (sizes[i], variants[i]["val_accuracy"]))


def _largest_says(match: Match, variants: Sequence[Row]) -> str:
    if len(match.fitting) == len(variants):
        return "all of the grid fits: backbone.widths and backbone.depths have nothing larger"
    return f"{len(match.fitting)} of {len(variants)} variants fit"


def _named(variant: Row) -> str:
    return f"width {variant['width']}, depth {variant['depth']}"


def _span(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
