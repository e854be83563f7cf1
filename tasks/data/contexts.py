"""In which circumstances samples arise: another camera, another site, another language.

Each sample has one context. A source tells it (natural), or an owner's samples are made to look as
its ``sensor`` sees them (:mod:`models.sensors`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.data.dataset import ALL
from tasks.run.errors import SettingsError
from tasks.settings.fleet import Device
from tasks.settings.params import Settings


@dataclass(frozen=True)
class Contexts:
    """All contexts of some data.

    Attributes:
        names: of all of them.
        public: positions in ``names`` of those that the cloud's data have.
        made: whether sensors make them, so that any sample may be seen in any.
    """

    names: tuple[str, ...] = (ALL,)
    public: tuple[int, ...] = (0,)
    made: bool = False

    @property
    def dealt(self) -> int:
        """How many are dealt apart, since the source's samples have them."""
        return 1 if self.made else len(self.names)

    @property
    def private(self) -> tuple[int, ...]:
        """Positions of those that devices are dealt: what the cloud does not know, or else all."""
        others = tuple(at for at in range(len(self.names)) if at not in self.public)
        return others or tuple(range(len(self.names)))

    def of(self, device: Device) -> int:
        """A device's: its own, or by its group.

        Raises:
            SettingsError: there is no such context.
        """
        if device.context is None:
            return self.private[device.group % len(self.private)]
        return self.position(device.context, f"fleet: {device.name}: context")

    def position(self, name: str, where: str) -> int:
        """Raises SettingsError, which says ``where``, if there is no such context."""
        if name not in self.names:
            raise SettingsError(f"{where} {name!r}: choose one of {', '.join(self.names)}")
        return self.names.index(name)


ONE = Contexts()


def contexts_of(settings: Settings, found: Sequence[str] = (ALL,)) -> Contexts:
    """Those of the sensors, or else those that were ``found`` in the source.

    Raises:
        SettingsError: the settings name one that is not there.
    """
    sensors = settings.data.sensors
    names = sensors or tuple(found)
    here = Contexts(names, made=bool(sensors))
    asked = settings.partition.public_contexts
    public = range(len(names)) if asked is None else (_public(here, name) for name in asked)
    return Contexts(names, tuple(sorted(public)), bool(sensors))


def _public(contexts: Contexts, name: str) -> int:
    return contexts.position(name, "partition.public_contexts")
