"""What every step of a run needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tasks.data.samples import World, read_world
from tasks.run.compute import Machine
from tasks.settings.case import Case
from tasks.settings.params import Settings


@dataclass(frozen=True)
class Job:
    """Settings, the data as they are divided, and where tasks compute. (In flows only: a task gets
    no more than it reads, or it would run again for what it does not.)"""

    settings: Settings
    world: World
    machine: Machine

    @classmethod
    def of(cls, case: Case, settings: Settings, devices: Iterable[str] | None = None) -> Job:
        """The job of a case whose data are divided; with the data of these devices alone, or of
        all.

        Raises:
            ArtifactError: they are not; the stage that does it is named.
            SettingsError: ``compute`` is not to be had.
        """
        names = [device.name for device in settings.devices] if devices is None else devices
        world = read_world(case.partition, names)
        return cls(settings, world, Machine.of(settings.compute, settings.threads))
