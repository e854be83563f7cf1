"""In which circumstances samples arise: another camera, another site, another language.

Each sample has one context. A source tells it (natural), or an owner's samples are made to look as
its ``sensor`` sees them (:mod:`models.sensors`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

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
        devices: positions in ``names`` of those that devices' own samples tell of, by id.
    """

    names: tuple[str, ...] = (ALL,)
    public: tuple[int, ...] = (0,)
    made: bool = False
    devices: Mapping[int, int] = field(default_factory=dict)

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
        """A device's: its samples' or its own, or by its group.

        Raises:
            SettingsError: there is no such context, or its samples have another.
        """
        told = self.devices.get(device.id)
        if device.context is None:
            return self.private[device.group % len(self.private)] if told is None else told
        named = self.position(device.context, f"fleet: {device.name}: context")
        if told is not None and told != named:
            raise SettingsError(
                f"fleet: {device.name}: context {device.context!r}, but its samples have "
                f"{self.names[told]!r}: leave it out, or mend one of them"
            )
        return named

    def position(self, name: str, where: str) -> int:
        """Raises SettingsError, which says ``where``, if there is no such context."""
        if self.names == (ALL,) and name != ALL:
            raise SettingsError(
                f"{where} {name!r}: the data have no contexts (data.sensors is [], and the source "
                "tells none): leave it out, or null"
            )
        if name not in self.names:
            raise SettingsError(f"{where} {name!r}: choose one of {', '.join(self.names)}")
        return self.names.index(name)


ONE = Contexts()


def contexts_of(
    settings: Settings,
    found: Sequence[str] = (ALL,),
    public: Sequence[int] | None = None,
    devices: Mapping[int, int | None] | None = None,
) -> Contexts:
    """Those of the sensors, or else those that were ``found`` in the source.

    Args:
        public: positions of those that are public where the settings do not say; None: all.
        devices: positions of those that devices' own samples tell of, by id.

    Raises:
        SettingsError: the settings name one that is not there, or sensors where samples have
            contexts already.
    """
    sensors = settings.data.sensors
    if sensors and tuple(found) != (ALL,):
        raise SettingsError(
            f"data.sensors: samples have one context, not two, and these tell theirs already "
            f"({', '.join(found)}): set sensors: []"
        )
    names = sensors or tuple(found)
    told = {device: at for device, at in (devices or {}).items() if at is not None}
    here = Contexts(names, tuple(range(len(names))), bool(sensors), told)
    asked = settings.partition.public_contexts
    if asked is not None:
        public = [here.position(name, "partition.public_contexts") for name in asked]
    return here if public is None else replace(here, public=tuple(sorted(public)))
