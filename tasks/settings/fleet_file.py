"""Fleet files, YAML or CSV: read into clusters of devices, with the line of what is wrong; and one
device more."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML, YAMLError

from models.matching.clustering import clusters
from tasks.run.errors import SettingsError
from tasks.run.files import atomic_write
from tasks.run.tables import read_csv
from tasks.settings.fields import NOT_YAML, in_words, not_yaml
from tasks.settings.fleet import Device

Row = dict[str, Any]


@dataclass(frozen=True)
class Rows:
    """The devices of a file, each with its line and, where it has one, its ``edge``; ``clusters``
    as the file says."""

    devices: tuple[tuple[int, Row], ...]
    clusters: Any = None


def read_rows(path: Path) -> Rows:
    """What a fleet file says, unchecked but for its form: a list of devices, one of ``{edge,
    devices}``, or ``{clusters, devices}``; in CSV, a row a device.

    Raises:
        SettingsError: the file is missing, empty or of another form; names the line.
    """
    text = _text(path)
    if is_csv(path):
        return _csv_rows(path, text)
    content: Any = _yaml(path, text)
    clusters = None
    if isinstance(content, Mapping):
        _only(path, content, {"clusters", "devices"}, 1)
        content, clusters = content.get("devices"), content.get("clusters")
    if not isinstance(content, list) or not content:
        raise SettingsError(f"{path}: expected a list of clusters or of devices")
    found: list[tuple[int, Row]] = []
    for index, row in enumerate(content):
        line = content.lc.item(index)[0] + 1  # type: ignore[attr-defined]
        found += (
            _of_cluster(path, line, row) if "devices" in _named(path, line, row) else [(line, row)]
        )
    return Rows(tuple((line, dict(_named(path, line, row))) for line, row in found), clusters)


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
        found.setdefault(str(edge), []).append(_row(device))
    return [{"edge": edge, "devices": members} for edge, members in found.items()]


def append_row(path: Path, row: Row) -> None:
    """Add a device to a fleet file, which keeps its comments, or start one.

    Raises:
        SettingsError: it has a device of this id, or its devices name their edges.
    """
    present = read_rows(path) if path.exists() else Rows(())
    if any(str(known.get("id")) == str(row["id"]) for _, known in present.devices):
        raise SettingsError(f"{path} has a device {row['id']} already. Give another: --id")
    if any("edge" in known for _, known in present.devices):
        raise SettingsError(f"{path}: its devices name their edges; add the line to one by hand")
    text = _text(path) if present.devices else ""
    written = _csv_with(text, row) if is_csv(path) else _yaml_with(text, row)
    atomic_write(path, written.encode())


def is_csv(path: Path) -> bool:
    """Whether a file is CSV by its name; else it is YAML."""
    return path.suffix.lower() == ".csv"


def _clustered(path: Path, devices: Sequence[Device], count: Any) -> list[Row]:
    if count is not None and (not isinstance(count, int) or isinstance(count, bool)):
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
        found[label].append(_row(device))
    return [{"edge": f"edge-{i}", "devices": members} for i, members in enumerate(found)]


def _row(device: Device) -> Row:
    """What a device says of itself."""
    values = device.model_dump(mode="json", exclude_none=True)
    return {name: value for name, value in values.items() if value != []}


def _device(path: Path, line: int, row: Row) -> Device:
    try:
        return Device.model_validate({k: v for k, v in row.items() if k != "edge"})
    except ValidationError as error:
        raise SettingsError(f"{path}, line {line}: {in_words(error)}") from None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")  # spreadsheets write a mark before the first name
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}. Check the path given as `fleet`.") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not a text file in UTF-8") from None


def _csv_rows(path: Path, text: str) -> Rows:
    _, rows = read_csv(path, text, SettingsError)
    if not rows:
        raise SettingsError(f"{path}: expected a list of clusters or of devices")
    filled = (
        (line, {name: cell for name, cell in row.items() if cell not in ("", None)})
        for line, row in rows
    )
    return Rows(tuple(filled))


def _csv_with(text: str, row: Row) -> str:
    header = next(csv.reader(io.StringIO(text)), list(row))
    written = io.StringIO()
    writer = csv.DictWriter(written, header, extrasaction="ignore", lineterminator="\n")
    if not text:
        writer.writeheader()
    writer.writerow(row)
    return text + ("" if not text or text.endswith("\n") else "\n") + written.getvalue()


def _yaml(path: Path, text: str) -> Any:
    try:
        return YAML().load(text)
    except (YAMLError, *NOT_YAML) as error:
        raise not_yaml(path, error) from None


def _yaml_with(text: str, row: Row) -> str:
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 120
    content = yaml.load(text) if text else {"devices": []}
    added = yaml.map(**row)
    added.fa.set_flow_style()
    (content["devices"] if isinstance(content, Mapping) else content).append(added)
    written = io.StringIO()
    yaml.dump(content, written)
    return written.getvalue()


def _of_cluster(path: Path, line: int, cluster: Mapping[str, Any]) -> list[tuple[int, Row]]:
    _only(path, cluster, {"edge", "devices"}, line)
    devices = cluster["devices"]
    if not cluster.get("edge") or not isinstance(devices, list) or not devices:
        raise SettingsError(f"{path}, line {line}: a cluster needs an edge and a list of devices")
    lines = [devices.lc.item(index)[0] + 1 for index in range(len(devices))]  # type: ignore[attr-defined]
    return [
        (at, {**_named(path, at, device), "edge": cluster["edge"]})
        for at, device in zip(lines, devices, strict=True)
    ]


def _named(path: Path, line: int, row: Any) -> Mapping[str, Any]:
    if not isinstance(row, Mapping):
        raise SettingsError(f"{path}, line {line}: expected a device by field, found {row!r}")
    return row


def _only(path: Path, content: Mapping[str, Any], names: set[str], line: int) -> None:
    unknown = sorted(set(map(str, content)) - names)
    if unknown:
        raise SettingsError(f"{path}, line {line}: {unknown[0]}: unknown beside a list of devices")
