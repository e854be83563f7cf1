"""The fleet table on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from models.statistics import SURE
from tasks.report.columns import SPARE, points, table
from tasks.run.errors import ArtifactError
from tasks.run.files import read_json, redo
from tasks.run.words import counted
from tasks.run.written import read_written_json
from tasks.settings.case import Case

Row = Mapping[str, Any]


def print_fleet(path: Path) -> None:
    """Print a run's summary: a row a device, then the fleet and its links.

    Raises:
        ArtifactError: there is no summary, or it is damaged.
    """
    case = Case.here()
    own = path == case.summary  # a kept copy has no sums beside it
    summary = read_written_json(path.parent, path.name) if own else read_json(path)
    try:
        rows, lines = table(summary), closing_lines(summary)
        title = f"The fleet, seed {summary['seed']}"
        rows[0]
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        words = f"{type(error).__name__}: {error}"
        raise ArtifactError(f"{path}: no summary of a run ({words}). {redo(path)}") from None
    left_out = print_rows(title, rows, ("device", "cluster", "backbone", "header"), SPARE)
    if left_out:
        again = case.command("fleet" if own else f"fleet --summary {path}")
        print(f"Too narrow for: {'; '.join(left_out)}. All columns: {again} | less -S\n")
    console = Console(markup=False, highlight=False, soft_wrap=not sys.stdout.isatty())
    for line in lines:
        console.print(line)


def print_rows(
    title: str, rows: Sequence[Row], left: Sequence[str], spare: Sequence[str] = ()
) -> list[str]:
    """Print rows of the same columns; those of ``left`` are words, the others numbers. Where a
    terminal is too narrow, heads are folded, then columns of ``spare`` are left out in their turn;
    what is no terminal gets all of it.

    Returns:
        The columns that were left out.
    """
    heads: dict[str, str] = {name: name for name in rows[0]}
    left_out: list[str] = []
    console = Console(markup=False)
    if not sys.stdout.isatty():
        console.width = max(console.width, _width(heads, rows))
    if _width(heads, rows) > console.width:
        heads = {name: _folded(name, rows) for name in heads}
    turns = iter([name for name in spare if name in heads])
    while _width(heads, rows) > console.width and (name := next(turns, None)) is not None:
        del heads[name]
        left_out.append(name)
    grid = Table(title=title, header_style="bold")
    for name, head in heads.items():
        justify: Literal["left", "right"] = "left" if name in left else "right"
        grid.add_column(head, justify=justify, overflow="fold")
    for row in rows:
        grid.add_row(*(str(row[name]) for name in heads))
    console.print(grid)
    return left_out


def _width(heads: Mapping[str, str], rows: Sequence[Row]) -> int:
    """What a table with these heads takes, in characters: its cells, and three around each."""
    return 1 + sum(
        3 + max(_widest(name, rows), *map(cell_len, head.split("\n")))
        for name, head in heads.items()
    )


def _folded(name: str, rows: Sequence[Row]) -> str:
    """A head in lines that are no wider than what stands below it, where its words allow."""
    longest = max(map(len, name.split()), default=0)
    return fill(name, max(longest, _widest(name, rows), 1), break_on_hyphens=False)


def _widest(name: str, rows: Sequence[Row]) -> int:
    return max(cell_len(str(row[name])) for row in rows)


def closing_lines(summary: dict[str, Any]) -> list[str]:
    """The fleet's accuracy and the cost of the links, in words."""
    fleet, link = summary["fleet"], summary["link"]

    def accuracy(name: str) -> str:
        low, high = fleet.get(f"{name}_mean_low"), fleet.get(f"{name}_mean_high")
        sure = f"{low:.3f} to {high:.3f}, " if low is not None else ""
        return (
            f"{fleet[f'{name}_mean']:.3f} ({sure}worst {fleet[f'{name}_worst']:.3f}, "
            f"spread {fleet[f'{name}_std']:.3f})"
        )

    warning = (summary.get("reference") or {}).get("warning")
    cnn = summary.get("cnn") or {}
    return [
        *(f"Warning: {words}." for words in (warning, cnn.get("warning")) if words),
        "Mean accuracy on the devices' own test splits (95 % interval over the devices): "
        f"received {accuracy('accuracy_received')}, "
        f"received and told each device's classes {accuracy('accuracy_received_own_classes')}, "
        f"refined {accuracy('accuracy_refined')}.",
        *what_there_was(summary),
        *below_received(summary),
        *to_be_met(summary),
        *seen_apart(summary),
        *against_reference(summary),
        *without_acme(summary),
        f"{fleet['pruned_devices']} of {len(summary['devices'])} devices ship a pruned header.",
        f"Uplink {link['uplink_bytes']:,} bytes, {link['uplink_ratio']:.1%} of a centralised "
        f"system's {link['centralised_bytes']:,} ({link['uplink_ratio_with_shared']:.1%} with the "
        f"consented shared samples); downlink {link['downlink_bytes']:,} bytes.",
        "* energy is modelled (Eq. 1, backbone alone), not measured.",
    ]


def what_there_was(summary: Mapping[str, Any]) -> list[str]:
    """What refining gained, and of how much; nothing where an older run did not say."""
    fleet, name = summary["fleet"], "gained_over_own_classes_mean"
    if name not in fleet:
        return []
    sure = ""
    if f"{name}_low" in fleet:
        sure = f" ({points(fleet[f'{name}_low'])} to {points(fleet[f'{name}_high'])})"
    gained = (
        f"Refining gains {points(fleet[name])} points{sure} over the received model that is told "
        "each device's classes"
    )
    ceiling = summary.get("ceiling")
    if not ceiling:
        return [f"{gained}."]
    counts = {d["ceiling_samples"] for d in summary["devices"] if "ceiling_samples" in d}
    more = " to ".join(f"{count:,}" for count in sorted({min(counts), max(counts)}))
    share = "; no more is reached by the ceiling"
    if "gap_closed" in fleet:
        share = f": {fleet['gap_closed']:.0%} of the gap to the ceiling"
    return [
        f"{gained}{share} {fleet['accuracy_ceiling_mean']:.3f}, the same header tuned on {more} "
        "more samples of the device's context and classes, which nobody got "
        f"({ceiling['seconds']:.0f} s)."
    ]


def below_received(summary: Mapping[str, Any]) -> list[str]:
    """Who ships what is worse; nothing where an older run did not say."""
    fleet, count = summary["fleet"], len(summary["devices"])
    if "below_received" not in fleet:
        return []
    return [
        f"{fleet['below_received']} of {count} devices end below that model by more than chance "
        f"brings about (exact McNemar test, {SURE:.1%}); {fleet['won']:,} test samples are won, "
        f"{fleet['lost']:,} lost."
    ]


def to_be_met(summary: Mapping[str, Any]) -> list[str]:
    """How well devices do on classes that they want and have no samples of; nothing where no device
    wants any."""
    devices = [device for device in summary["devices"] if "accuracy_refined_wanted" in device]
    if not devices:
        return []
    fleet = summary["fleet"]
    count = sum(device["wanted_test_samples"] for device in devices)
    return [
        f"Of classes that {counted(len(devices), 'device')} will meet and had no samples of to "
        f"learn from ({count:,} test samples), accuracy: received and told them "
        f"{fleet['accuracy_received_wanted_mean']:.3f}, refined "
        f"{fleet['accuracy_refined_wanted_mean']:.3f}."
    ]


def seen_apart(summary: Mapping[str, Any]) -> list[str]:
    """What the cloud's data look like, what edges learned from, and whether devices of the same
    context found each other; nothing where there is one context."""
    facts = summary.get("contexts") or {}
    if len(facts.get("names", ())) < 2:
        return []
    kind = "synthetic contexts" if facts["synthetic"] else "contexts"
    learned = (
        f"Of {len(facts['names'])} {kind} the cloud's data have {', '.join(facts['public'])}; "
        "headers and received models learned from these and from what devices consented to share."
    )
    found = facts.get("recovered")
    if not found:
        return [learned]
    return [
        f"{learned} Of the weight that a device gives to peers, {found['share']:.0%} goes to its "
        f"own context; by chance it would be {found['chance']:.0%}."
    ]


def without_acme(summary: Mapping[str, Any]) -> list[str]:
    """What a plain CNN reaches; nothing where none was trained."""
    cnn = summary.get("cnn")
    if not cnn:
        return []
    public, told = cnn["test_accuracy"], cnn["accuracy_own_classes_mean"]
    return [
        f"Without ACME: a plain CNN of {cnn['parameters']:,} parameters, trained on the same data: "
        f"accuracy {public:.3f} on public test data, where the reference has "
        f"{summary['reference']['test_accuracy']:.3f}; {told:.3f} on the devices' own test splits, "
        "told each device's classes."
    ]


def against_reference(summary: Mapping[str, Any]) -> list[str]:
    """What the fleet gives up (:data:`tasks.report.summary.GIVEN_UP`) and saves; nothing where an
    older run did not say."""
    fleet, totals = summary["fleet"], summary.get("totals")
    if totals is None:
        return []
    shares = {
        words: totals[name]["shipped"] / totals[name]["reference"]
        for words, name in (
            ("parameters", "parameters"),
            ("bytes", "bytes"),
            ("modelled energy", "modelled_energy_joule"),
        )
    }
    saved = ", ".join(f"{share:.0%} of the {words}" for words, share in shares.items())
    told, refined = fleet["accuracy_reference_own_classes_mean"], fleet["accuracy_refined_mean"]
    low, high = (fleet.get(f"given_up_own_classes_mean_{end}") for end in ("low", "high"))
    sure = f" ({points(low)} to {points(high)})" if low is not None else ""
    both = told - fleet["accuracy_refined_own_classes_mean"]
    alike = f", {points(both)} where what ships is told them too" if both != told - refined else ""
    untold = fleet["accuracy_reference_mean"]
    return [
        f"Given up: {points(told - refined)} points{sure} against the reference told each device's "
        f"classes ({told:.3f}){alike} (less than 0: better). Not on like terms: "
        f"{points(untold - refined)} against the reference not told ({untold:.3f}).",
        f"Saved: the fleet takes {saved} of giving everyone the reference.",
    ]
