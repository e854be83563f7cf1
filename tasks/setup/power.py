"""Energy counters of this machine: NVIDIA's through NVML, the processor's through the kernel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")

Counter = Callable[[], float]
"""Joules used so far, from any start."""


def find_counter(gpu: str | None = None, powercap: Path = POWERCAP) -> tuple[str, Counter] | None:
    """What the power of the processor that computes can be measured with, and its name; None where
    nothing can. ``gpu`` is the UUID of the GPU that computes, None where the CPU does: the other's
    counter would be of a processor that idles."""
    return rapl_counter(powercap) if gpu is None else nvml_counter(gpu)


def nvml_counter(gpu: str) -> tuple[str, Counter] | None:
    """An NVIDIA GPU's own energy counter, where it has one."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(gpu)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except Exception:  # no driver, or a GPU without a counter
        return None
    return "NVML", lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3


def rapl_counter(powercap: Path = POWERCAP) -> tuple[str, Counter] | None:
    """The packages' RAPL counters, where the kernel shows them and lets us read them. Beside them
    may lie ``psys``, of the whole board, which holds what they count."""
    try:
        packages = [p for p in sorted(powercap.glob("*-rapl:[0-9]*")) if _is_package(p)]
        last = {p: _microjoules(p, "energy_uj") for p in packages}
    except (OSError, ValueError):
        return None
    if not packages:
        return None
    total = 0

    def counter() -> float:
        nonlocal total
        for package in packages:
            now = _microjoules(package, "energy_uj")
            used = now - last[package]
            # a counter starts again from 0 when it is full
            total += used if used >= 0 else used + _microjoules(package, "max_energy_range_uj")
            last[package] = now
        return total / 1e6

    return "RAPL", counter


def _is_package(zone: Path) -> bool:
    return (zone / "name").read_text().startswith("package")


def _microjoules(package: Path, name: str) -> int:
    return int((package / name).read_text())
