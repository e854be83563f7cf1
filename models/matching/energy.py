"""The energy model of Eq. 1-2. Everything here is modelled, nothing is measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from models.matching.recipe import EnergyConstants


@dataclass(frozen=True)
class DeviceProfile:
    """What Eq. 2 knows of a device: G_n in watt, L_n in seconds per epoch."""

    gpu_capacity_watt: float
    base_latency_s: float


def power_watt(
    device: DeviceProfile, constants: EnergyConstants, width: float, depth: int, patches: int
) -> float:
    """P_n(w, d) of Eq. 2 in watt: G * (1 + a*w*d + b*p)."""
    return device.gpu_capacity_watt * (
        1 + constants.power_growth * width * depth + constants.batch_power * patches
    )


def modelled_latency_s(
    device: DeviceProfile, constants: EnergyConstants, width: float, depth: int
) -> float:
    """T_n(w, d) of Eq. 2 in seconds per epoch: L * (1 + c*w*d)."""
    return device.base_latency_s * (1 + constants.latency_growth * width * depth)


def modelled_energy_joule(
    device: DeviceProfile, constants: EnergyConstants, width: float, depth: int, patches: int
) -> float:
    """E_n of Eq. 1 in joule: k * P_n * T_n. It covers the backbone alone, as the paper's does."""
    return (
        constants.epochs
        * power_watt(device, constants, width, depth, patches)
        * modelled_latency_s(device, constants, width, depth)
    )


def cluster_energy_joule(
    devices: Iterable[DeviceProfile],
    constants: EnergyConstants,
    width: float,
    depth: int,
    patches: int,
) -> float:
    """E_s of Eq. 10: the largest modelled energy among the cluster's devices, in joule."""
    return max(modelled_energy_joule(d, constants, width, depth, patches) for d in devices)
