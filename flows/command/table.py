"""The fleet table on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tasks.report.columns import points, table
from tasks.run.errors import ArtifactError
from tasks.run.files import read_json, redo
from tasks.run.written import read_written_json
from tasks.settings.case import Case


def print_fleet(path: Path) -> None:
    """Print a run's summary: a row a device, then the fleet and its links.

    Raises:
        ArtifactError: there is no summary, or it is damaged.
    """
    own = path == Case.here().summary  # a kept copy has no sums beside it
    summary = read_written_json(path.parent, path.name) if own else read_json(path)
    try:
        rows, lines = table(summary), closing_lines(summary)
        title = f"The fleet, seed {summary['seed']}"
        rows[0]
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        words = f"{type(error).__name__}: {error}"
        raise ArtifactError(f"{path}: no summary of a run ({words}). {redo(path)}") from None
    console = print_rows(title, rows, left=("device", "cluster", "backbone", "found header"))
    for line in lines:
        console.print(line, highlight=False)


def print_rows(title: str, rows: Sequence[Mapping[str, Any]], left: Sequence[str]) -> Console:
    """Print rows of the same columns; those of ``left`` are words, the others numbers."""
    console = Console(width=None if Console().is_terminal else 170)
    grid = Table(title=title, header_style="bold")
    for column in rows[0]:
        grid.add_column(column, justify="left" if column in left else "right", no_wrap=True)
    for row in rows:
        grid.add_row(*(str(value) for value in row.values()))
    console.print(grid)
    return console


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
    return [
        *([f"Warning: {warning}."] if warning else []),
        "Mean accuracy on the devices' own test splits (95 % interval over the devices): "
        f"received {accuracy('accuracy_received')}, "
        f"restricted to own classes {accuracy('accuracy_received_own_classes')}, "
        f"refined {accuracy('accuracy_refined')}.",
        *against_reference(summary),
        f"{fleet['pruned_devices']} of {len(summary['devices'])} devices ship a pruned header.",
        f"Uplink {link['uplink_bytes']:,} bytes, {link['uplink_ratio']:.1%} of a centralised "
        f"system's {link['centralised_bytes']:,} ({link['uplink_ratio_with_shared']:.1%} with the "
        f"consented shared samples); downlink {link['downlink_bytes']:,} bytes.",
        "* energy is modelled (Eq. 1, backbone alone), not measured.",
    ]


def against_reference(summary: Mapping[str, Any]) -> list[str]:
    """What the fleet gives up and saves; nothing where an older run did not say."""
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
    return [
        f"The reference reaches {fleet['accuracy_reference_mean']:.3f} on the same data: "
        f"{points(fleet['given_up_mean'])} points given up (less than 0: better than it), for "
        f"{saved} of giving it to everyone."
    ]
