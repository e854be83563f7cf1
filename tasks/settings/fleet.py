"""The fleet: devices, their limits, and the edge servers that they belong to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from models.matching.clustering import clusters
from tasks.run.errors import SettingsError
from tasks.settings.fields import Count, Frozen, Positive, PositiveFloat, in_words
from tasks.settings.fleet_file import Row, read_rows

BYTES_PER_PARAMETER = 4  # float32; the one place that turns bytes into parameters
UNITS = {"KB": 1e3, "MB": 1e6, "GB": 1e9}
LIMIT = re.compile(r"([0-9]+(?:\.[0-9]*)?(?:e[0-9]{1,2})?)\s*([KMG]B)?", re.IGNORECASE)


def parameters_from(limit: Any) -> Any:
    """A storage limit in parameters: a number as it is, or bytes as in ``"0.4 MB"``."""
    if not isinstance(limit, str):
        return limit
    found = LIMIT.fullmatch(limit.strip())
    if found is None:
        raise ValueError(f"{limit!r}: give a storage limit in parameters, or in {', '.join(UNITS)}")
    number, unit = found.groups()
    return int(float(number) * (UNITS[unit.upper()] / BYTES_PER_PARAMETER if unit else 1))


class Device(Frozen):
    """One device: C_n in parameters, G_n in watt, L_n in seconds per epoch. Devices of the same
    ``group`` hold the same classes where the data are split by class."""

    id: Count
    group: Count = 0
    storage_limit: Annotated[Positive, BeforeValidator(parameters_from)]
    gpu_capacity_watt: PositiveFloat
    base_latency_s: PositiveFloat

    @property
    def name(self) -> str:
        return f"device-{self.id:02d}"


class Cluster(Frozen):
    """The devices of one edge server, which carries the cluster's name."""

    edge: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    devices: Annotated[tuple[Device, ...], Field(min_length=1)]

    @property
    def storage_limit(self) -> int:
        """min C_n over the cluster, in parameters."""
        return min(device.storage_limit for device in self.devices)


def read_fleet(path: Path, count: int | None = None) -> list[Row]:
    """A fleet from YAML (as in ``params.yaml``, or a list of devices) or CSV (a row a device).

    Where devices name no ``edge``, they are clustered by how alike their limits, power and latency
    are: into ``count`` many, else ``clusters`` many where a YAML file says so (beside ``devices``),
    else into as many as separate best.

    Raises:
        SettingsError: the file is missing, or a device in it is impossible: names line and field.
    """
    rows = read_rows(path)
    devices = [_device(path, line, row) for line, row in rows.devices]
    edges = [row.get("edge") for _, row in rows.devices]
    if not any(edges):
        return _clustered(path, devices, rows.clusters if count is None else count)
    if count is not None:
        raise SettingsError(f"{path}: its devices name their edges: they cannot be clustered anew")
    if not all(edges):
        raise SettingsError(f"{path}: some devices name an edge and some do not: name all or none")
    found: dict[str, list[Row]] = {}
    for edge, device in zip(edges, devices, strict=True):
        found.setdefault(str(edge), []).append(device.model_dump())
    return [{"edge": edge, "devices": members} for edge, members in found.items()]


def _clustered(path: Path, devices: Sequence[Device], count: Any) -> list[Row]:
    if count is not None and not isinstance(count, int):
        raise SettingsError(f"{path}: clusters: {count!r} is not a whole number")
    ordered = sorted(devices, key=lambda device: device.id)
    try:
        labels = clusters(
            [(d.storage_limit, d.gpu_capacity_watt, d.base_latency_s) for d in ordered], count
        )
    except ValueError as error:
        raise SettingsError(f"{path}: {error}") from None
    found: list[list[Row]] = [[] for _ in range(max(labels) + 1)]
    for device, label in zip(ordered, labels, strict=True):
        found[label].append(device.model_dump())
    return [{"edge": f"edge-{i}", "devices": members} for i, members in enumerate(found)]


def _device(path: Path, line: int, row: Row) -> Device:
    try:
        return Device.model_validate({k: v for k, v in row.items() if k != "edge"})
    except ValidationError as error:
        raise SettingsError(f"{path}, line {line}: {in_words(error)}") from None
