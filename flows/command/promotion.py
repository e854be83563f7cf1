"""From challenger to champion and back, as the command line offers it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.command.table import print_rows
from tasks.run.compute import Machine
from tasks.run.errors import RegistryError
from tasks.settings.case import Case
from tasks.settings.params import Settings, device_name, load
from tasks.tracking.promotion import Decision, Owner, owners, promote
from tasks.tracking.registry import Registry, device_model


def promote_fleet(params: Path, devices: Sequence[str], force: bool = False) -> list[Decision]:
    """Decide on every challenger, or on those of ``devices``; prints what was decided.

    Raises:
        SettingsError: a device is not of the fleet.
        RegistryError: a device that was named has no challenger; or, once all are decided, a
            version was refused.
    """
    settings, case = load(params), Case.here()
    Machine.of(settings.compute, settings.threads).prepare()  # scores are computed again
    chosen = owners_of(case, settings, devices)
    decisions = [promote.fn(case, owner, force) for owner in chosen]
    for owner, decision in zip(chosen, decisions, strict=True):
        if devices and decision is None:
            raise RegistryError(f"{owner.model} has no challenger: there is nothing to decide")
    made = [d for d in decisions if d is not None]
    print_decisions(made)
    refused = [d.reason for d in made if d.refused]
    if refused:
        raise RegistryError("; ".join(refused))
    return made


def roll_back(params: Path, device: str) -> None:
    """The device's champion before the present one is champion again."""
    case = Case.here()
    [owner] = owners_of(case, load(params), [device])
    left, champion = Registry(case.project).rollback(owner.model)
    print(f"{owner.model}: version {champion.number} is champion again, instead of {left.number}")


def owners_of(case: Case, settings: Settings, devices: Sequence[str]) -> list[Owner]:
    """The models of ``devices`` (by name, or id alone), or of the whole fleet."""
    known = {owner.model: owner for owner in owners(case, settings)}
    if not devices:
        return list(known.values())
    return [known[device_model(case, device_name(settings, device))] for device in devices]


def print_decisions(decisions: Sequence[Decision]) -> None:
    """A row a challenger."""
    if not decisions:
        print("No challenger waits for a decision.")
        return
    rows = [
        {
            "model": d.model,
            "version": d.challenger,
            "now": "champion" if d.promoted else "challenger",
            "because": "refused" if d.refused else d.reason,
        }
        for d in decisions
    ]
    print_rows("Registry", rows, left=("model", "now", "because"))
