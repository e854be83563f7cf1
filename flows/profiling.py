"""`acme profile`: this machine as a device of the fleet."""

from __future__ import annotations

from pathlib import Path

from flows.table import print_rows
from models.matching.profile import Line
from tasks.errors import SettingsError
from tasks.fleet import parameters_from
from tasks.profiling import BATCH, Profile, profile
from tasks.settings import load


def profile_machine(params: Path, number: int, limit: str, watt: float | None) -> None:
    """Measure, and print the device to paste into the fleet.

    Raises:
        SettingsError: bad settings or a bad storage limit.
    """
    try:
        storage_limit = int(parameters_from(limit))
    except ValueError as error:
        raise SettingsError(f"--storage-limit: {error}") from None
    settings = load(params)
    found = profile(settings, watt, classes=10)
    print_measured(found)
    epoch = settings.partition.samples_per_device * settings.partition.train_fraction
    print(f"Latency (measured): L_n {found.base_latency_s:.4g} s an epoch of {epoch:.0f} samples,")
    print(f"  growing by c = {_growth(found.latency)}")
    print(f"Power ({found.power_from}): G_n {found.gpu_capacity_watt:.3g} W")
    if found.power:
        print(f"  growing by a = {_growth(found.power)}")
    print("\nFor the fleet:")
    print(
        f"      - {{id: {number}, storage_limit: {storage_limit}, "
        f"gpu_capacity_watt: {found.gpu_capacity_watt:.3g}, "
        f"base_latency_s: {found.base_latency_s:.4g}}}  # power {found.power_from}"
    )
    print("\nFor matching.energy, if the fleet is of such devices:")
    print(f"    latency_growth: {max(0.0, found.latency.growth):.3g}")
    if found.power:
        print(f"    power_growth: {max(0.0, found.power.growth):.3g}")


def _growth(line: Line) -> str:
    return f"{line.growth:.3g} per width x depth (R^2 of the fit: {line.r_squared:.2f})"


def print_measured(found: Profile) -> None:
    """A row a variant: what was measured and what the fit says."""
    rows = [
        {
            "width": row.width,
            "depth": row.depth,
            "p50 ms": f"{1e3 * row.p50_s:.2f}",
            "p90 ms": f"{1e3 * row.p90_s:.2f}",
            "fitted ms": f"{1e3 * found.latency.at(row.width, row.depth):.2f}",
            "watt": "" if row.watt is None else f"{row.watt:.1f}",
        }
        for row in found.measured
    ]
    print_rows(f"A batch of {BATCH} on this machine", rows, left=())
