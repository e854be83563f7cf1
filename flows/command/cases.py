"""`acme cases`: the kinds of data of this project."""

from __future__ import annotations

from flows.command.run import up_to_date
from flows.command.table import print_rows
from tasks.run.errors import SettingsError
from tasks.settings.case import Case
from tasks.settings.params import load


def print_cases() -> None:
    """A row a case: its settings, its fleet, and whether DVC finds anything to do; below, what is
    wrong with the settings of one."""
    rows, wrong = [], []
    for case in Case.here().all():
        row = {"case": case.name or "", "settings": case.shown(case.params)}
        try:
            settings = load(case.params)
        except SettingsError as error:
            wrong.append(case.addressed(str(error)))
            rows.append({**row, "edges": "", "devices": "", "stages": "invalid"})
            continue
        facts = {"edges": len(settings.fleet), "devices": len(settings.devices)}
        stages = "up to date" if up_to_date(case) else "to run"
        rows.append({**row, **facts, "stages": stages})
    if not rows:
        print("No case yet. To make one: acme init")
        return
    print_rows("Cases", rows, left=("case", "settings", "stages"))
    for words in wrong:
        print(words)
