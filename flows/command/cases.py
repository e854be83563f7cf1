"""`acme cases`: the kinds of data of this project."""

from __future__ import annotations

from flows.command.run import up_to_date
from flows.command.table import print_rows
from tasks.settings.case import Case
from tasks.settings.params import load


def print_cases() -> None:
    """A row a case: its settings, its fleet, and whether DVC finds anything to do.

    Raises:
        SettingsError: the settings of one are impossible.
    """
    rows = []
    for case in Case.here().all():
        fleet = load(case.params).fleet
        rows.append(
            {
                "case": case.name or "",
                "settings": case.shown(case.params),
                "edges": len(fleet),
                "devices": sum(len(cluster.devices) for cluster in fleet),
                "stages": "up to date" if up_to_date(case) else "to run",
            }
        )
    if not rows:
        print("No case yet. To make one: acme init")
        return
    print_rows("Cases", rows, left=("case", "settings", "stages"))
