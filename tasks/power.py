"""Energy counters of this machine: NVIDIA's through NVML, the processor's through the kernel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")

Counter = Callable[[], float]
"""Joules used so far, from any start."""


def find_counter(powercap: Path = POWERCAP) -> tuple[str, Counter] | None:
    """What this machine's power can be measured with, and its name; None where nothing can."""
    return nvml_counter() or rapl_counter(powercap)


def nvml_counter() -> tuple[str, Counter] | None:
    """The first NVIDIA GPU's own energy counter, where there is one."""
    try:
        import pynvml

        pynvml.nvmlInit()
        gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu)
    except Exception:  # no driver, no GPU, or one without a counter
        return None
    return "NVML", lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1e3


def rapl_counter(powercap: Path = POWERCAP) -> tuple[str, Counter] | None:
    """The packages' RAPL counters, where the kernel shows them and lets us read them."""
    packages = sorted(powercap.glob("*-rapl:[0-9]"))
    try:
        for package in packages:
            _microjoules(package, "energy_uj")
    except (OSError, ValueError):
        return None
    if not packages:
        return None
    last = {p: _microjoules(p, "energy_uj") for p in packages}
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


def _microjoules(package: Path, name: str) -> int:
    return int((package / name).read_text())
