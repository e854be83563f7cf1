"""`acme profile`: this machine as a device of the fleet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.command.table import print_rows
from models.matching.profile import Line
from tasks.cloud.registered import bring, is_registered
from tasks.run.errors import SettingsError
from tasks.settings.case import Case
from tasks.settings.fleet import parameters_from
from tasks.settings.fleet_file import append_row
from tasks.settings.params import load
from tasks.setup.profiling import BATCH, Profile, profile, train_samples

TRUSTED = 0.8  # R^2 of a fit that may be used


def profile_machine(
    params: Path, number: int, limit: str, watt: float | None, out: Path | None
) -> None:
    """Measure, and print the device to paste into the fleet; with ``out``, add it to that file.

    Raises:
        SettingsError: bad settings, a bad storage limit, or a file that cannot take the device.
    """
    storage_limit = limit_of(limit)
    settings = load(params)
    name = settings.backbone.reference.name
    registered = bring.fn(name, Case.here().project) if name and is_registered(name) else None
    found = profile(settings, watt, registered)
    device = {
        "id": number,
        "storage_limit": storage_limit,
        "gpu_capacity_watt": float(f"{found.gpu_capacity_watt:.3g}"),
        "base_latency_s": float(f"{found.base_latency_s:.4g}"),
    }
    print_measured(found)
    print_constants(found, train_samples(settings))
    print(doubt(found.latency), end="")
    print("\nFor the fleet:")
    fields = ", ".join(f"{field}: {value}" for field, value in device.items())
    print(f"      - {{{fields}}}  # power {found.power_from}")
    print_growths(found)
    if out is not None:
        append_row(out, device)
        print(f"\n{out}: device {number} is added")


def limit_of(text: str) -> int:
    """Parameters of a storage limit. Raises SettingsError if it is none."""
    try:
        return int(parameters_from(text))
    except ValueError as error:
        raise SettingsError(f"--storage-limit: {error}") from None


def doubt(line: Line) -> str:
    """A line of warning where a fit explains too little to be used; else nothing."""
    if line.r_squared >= TRUSTED:
        return ""
    return (
        "Do not use this: the fit explains too little. Measure again with nothing else running.\n"
    )


def print_constants(found: Profile, samples: int) -> None:
    """What was fitted, and how well."""
    print(
        f"Latency (measured): L_n {found.base_latency_s:.4g} s an epoch, which is a forward pass "
        f"over {samples} train samples;\n  it grows by c = {found.latency.growth:.3g} per width x "
        f"depth (R^2 of the fit: {found.latency.r_squared:.2f})"
    )
    print(f"Power ({found.power_from}): G_n {found.gpu_capacity_watt:.3g} W", end="")
    if found.power is None:
        print("; it says nothing of its growth a")
    else:
        print(
            f";\n  it grows by a = {found.power_growth:.3g} per width x depth "
            f"(R^2 of the fit: {found.power.r_squared:.2f})"
        )


def print_growths(found: Profile) -> None:
    """Constants that hold for the whole fleet."""
    print("\nFor matching.energy, if the fleet is of such devices:")
    if found.power_growth is not None:
        print(f"    power_growth: {found.power_growth:.3g}")
    print(f"    latency_growth: {found.latency.growth:.3g}")


def print_measured(found: Profile) -> None:
    """A row a variant: what was measured, and how far the fit is off."""
    rows: list[dict[str, Any]] = []
    for row in found.measured:
        fitted = found.latency.at(row.width, row.depth)
        rows.append(
            {
                "width": row.width,
                "depth": row.depth,
                "p50 ms": f"{1e3 * row.p50_s:.2f}",
                "p90 ms": f"{1e3 * row.p90_s:.2f}",
                "fitted ms": f"{1e3 * fitted:.2f}",
                "residual ms": f"{1e3 * (row.p50_s - fitted):+.2f}",
            }
        )
        if found.power is not None and row.watt is not None:
            rows[-1]["W"] = f"{row.watt:.1f}"
            rows[-1]["residual W"] = f"{row.watt - found.power.at(row.width, row.depth):+.1f}"
    print_rows(f"A batch of {BATCH} on this machine", rows, left=())
