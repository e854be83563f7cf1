"""The fleet: devices, their limits, and the edge servers that they belong to."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from models.matching.clustering import clusters
from tasks.errors import SettingsError
from tasks.fields import Count, Frozen, Positive, PositiveFloat, in_words, read_yaml

BYTES_PER_PARAMETER = 4  # float32; the one place that turns bytes into parameters
UNITS = {"KB": 1e3, "MB": 1e6, "GB": 1e9}
Row = dict[str, Any]


def parameters_from(limit: Any) -> Any:
    """A storage limit in parameters: a number as it is, or bytes as in ``"0.4 MB"``."""
    if not isinstance(limit, str):
        return limit
    number, _, unit = limit.strip().partition(" ")
    if unit and unit.upper() not in UNITS:
        raise ValueError(f"{limit!r}: give a storage limit in parameters, or in {', '.join(UNITS)}")
    value = float(number)
    return int(value * UNITS[unit.upper()] / BYTES_PER_PARAMETER) if unit else int(value)


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


def read_fleet(path: Path) -> list[Row]:
    """A fleet from YAML (as in ``params.yaml``) or CSV (a row a device).

    Where devices name no ``edge``, they are clustered by how alike their limits, power and latency
    are: into ``clusters`` many where a YAML file says so (beside ``devices``), else into as many as
    separate best.

    Raises:
        SettingsError: the file is missing, or a device in it is impossible: names row and field.
    """
    content = read_yaml(path) if path.suffix != ".csv" else _read_csv(path)
    if isinstance(content, Mapping):
        return _clustered(path, content.get("devices") or [], content.get("clusters"))
    if not isinstance(content, list) or not content:
        raise SettingsError(f"{path}: expected a list of clusters or of devices")
    if all(isinstance(row, Mapping) and "devices" in row for row in content):
        return content
    named = [row for row in content if row.get("edge")]
    if not named:
        return _clustered(path, content, None)
    if len(named) < len(content):
        raise SettingsError(f"{path}: some devices name an edge and some do not: name all or none")
    found: dict[str, list[Row]] = {}
    for row in content:
        found.setdefault(row["edge"], []).append({k: v for k, v in row.items() if k != "edge"})
    return [{"edge": edge, "devices": devices} for edge, devices in found.items()]


def _clustered(path: Path, rows: Sequence[Row], count: int | None) -> list[Row]:
    devices = [_device(path, number, row) for number, row in enumerate(rows, 1)]
    try:
        labels = clusters(
            [(d.storage_limit, d.gpu_capacity_watt, d.base_latency_s) for d in devices], count
        )
    except ValueError as error:
        raise SettingsError(f"{path}: {error}") from None
    found: list[list[Row]] = [[] for _ in range(max(labels) + 1)]
    for device, label in zip(devices, labels, strict=True):
        found[label].append(device.model_dump())
    return [{"edge": f"edge-{i}", "devices": members} for i, members in enumerate(found)]


def _device(path: Path, number: int, row: Row) -> Device:
    try:
        return Device.model_validate({k: v for k, v in row.items() if k != "edge"})
    except ValidationError as error:
        raise SettingsError(f"{path}: device {number}: {in_words(error)}") from None


def _read_csv(path: Path) -> list[Row]:
    try:
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}. Check the path given as `fleet`.") from None
