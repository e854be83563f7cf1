"""The fleet: devices, their limits, and the edge servers that they belong to."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, TypeAdapter, model_validator

from models.ranges import Count, PositiveFloat, twice
from tasks.links.ends import DEVICE, NAME, tier_of
from tasks.settings.fields import Frozen

BYTES_PER_PARAMETER = 4  # float32; the one place that turns bytes into parameters
LIMIT = re.compile(r"([0-9]+(?:\.[0-9]*)?(?:e[0-9]{1,2})?)\s*([KMG]B)?", re.IGNORECASE)
"""Checked first: :class:`ByteSize` reads ``1,5 MB`` as one byte."""
BYTES = TypeAdapter(ByteSize)


def parameters_from(limit: Any) -> Any:
    """A storage limit in parameters: a number as it is, or bytes as in ``"0.4 MB"``."""
    if not isinstance(limit, str):
        return limit
    found = LIMIT.fullmatch(limit.strip())
    if found is None:
        raise ValueError(f"{limit!r}: give a storage limit in parameters, or in KB, MB, GB")
    number, unit = found.groups()
    if unit is None:
        return int(float(number))
    return BYTES.validate_python(f"{Decimal(number):f} {unit}") // BYTES_PER_PARAMETER


def names_from(cell: Any) -> Any:
    """Names of classes: a list as it is, or with a semicolon between them, as in a cell of CSV."""
    return [name.strip() for name in cell.split(";")] if isinstance(cell, str) else cell


def once(names: tuple[str, ...]) -> tuple[str, ...]:
    """Raises ValueError if a name is empty or stands there twice."""
    if not all(names):
        raise ValueError("give the names of classes, with a semicolon between them")
    if again := twice(names):
        raise ValueError(f"{again} stands there more than once")
    return names


class Device(Frozen):
    """One device: C_n in parameters, G_n in watt, L_n in seconds per epoch. Devices of the same
    ``group`` hold the same classes where the data are split by class, and have the same context
    where they name none. Classes that it has no samples of to learn from and will meet are
    ``wanted``."""

    id: Count
    group: Count = 0
    context: Annotated[str, Field(min_length=1)] | None = None
    wanted: Annotated[tuple[str, ...], BeforeValidator(names_from), AfterValidator(once)] = ()
    storage_limit: Annotated[int, Field(ge=1, le=10**12), BeforeValidator(parameters_from)]
    gpu_capacity_watt: PositiveFloat
    base_latency_s: PositiveFloat

    @model_validator(mode="before")
    @classmethod
    def _takes_numbers(cls, values: Any) -> Any:
        for name, value in values.items() if isinstance(values, dict) else ():
            if isinstance(value, bool):
                raise ValueError(f"{name}: a number is needed, not {str(value).lower()}")
        return values

    @property
    def name(self) -> str:
        return f"{DEVICE}{self.id:02d}"


def no_other(edge: str) -> str:
    """Names tell tiers apart: raises ValueError if an edge is called like the cloud or a device."""
    if tier_of(edge) != "edge":
        raise ValueError(f"{edge!r} is how {tier_of(edge)}s are called: give another name")
    return edge


class Cluster(Frozen):
    """The devices of one edge server, which carries the cluster's name."""

    edge: Annotated[str, Field(pattern=NAME), AfterValidator(no_other)]
    devices: Annotated[tuple[Device, ...], Field(min_length=1)]

    @property
    def storage_limit(self) -> int:
        """min C_n over the cluster, in parameters."""
        return min(device.storage_limit for device in self.devices)
