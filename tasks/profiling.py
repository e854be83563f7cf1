"""What variants of the reference model cost on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import psutil
import torch
from torch import Tensor, nn

from models.backbone.slicing import slice_variant
from models.matching.energy import EnergyConstants
from models.matching.profile import Line, fit
from tasks.cloud import reference_model
from tasks.compute import Machine
from tasks.errors import SettingsError
from tasks.power import Counter, find_counter
from tasks.progress import progress
from tasks.samples import DataInfo
from tasks.settings import Settings

BATCH = 32
WARM_UP, REPEATS, SECONDS = 3, 20, 0.5  # at least so many, and at least so long
WATT_PER_CORE = 5.0  # what a core is taken to use where nothing can be measured and nothing is said


@dataclass(frozen=True)
class Measured:
    """One variant: seconds of a batch, and watts while it ran (None without a counter)."""

    width: float
    depth: int
    p50_s: float
    p90_s: float
    watt: float | None


@dataclass(frozen=True)
class Profile:
    """A device as Eq. 2 knows it. ``power_from`` says where the watts come from: ``measured``,
    ``given`` or ``modelled``, and by what."""

    measured: tuple[Measured, ...]
    latency: Line
    power: Line | None
    base_latency_s: float
    gpu_capacity_watt: float
    power_from: str


def profile(settings: Settings, watt: float | None, classes: int) -> Profile:
    """Time a few variants of the settings' reference model (its weights do not matter), and fit.

    An epoch is one pass over a device's train split. Power is measured where a counter exists.

    Args:
        watt: the device's power where it is known and cannot be measured.

    Raises:
        SettingsError: the reference model cannot be built, or the grid has one size only.
    """
    machine = Machine(settings.compute, settings.threads)
    place, constants = machine.prepare(), EnergyConstants(**settings.matching.energy.model_dump())
    info, grid = _info(settings, classes), _grid(settings)
    spec = settings.backbone.reference.model_copy(update={"pretrained": False, "checkpoint": None})
    vit = reference_model(spec, info, max(settings.backbone.depths), settings.seed)
    pixels = torch.rand(BATCH, info.channels, info.image_size, info.image_size, device=place)
    counter = find_counter()
    rows = []
    with progress("profiling variants") as on_step:
        for done, (width, depth) in enumerate(grid, 1):
            small = slice_variant(vit, width, depth, settings.backbone.depth_strategy).to(place)
            rows.append(_measure(small, pixels, width, depth, counter[1] if counter else None))
            on_step(done, len(grid), {})
    try:
        latency = fit(grid, [row.p50_s for row in rows])
        power = fit(grid, [row.watt for row in rows if row.watt]) if counter else None
    except ValueError as error:
        raise SettingsError(f"profile: {error}") from None
    batches = settings.partition.samples_per_device * settings.partition.train_fraction / BATCH
    of_patches = 1 + constants.batch_power * vit.patch_embed.num_patches
    capacity, source = _power(power, counter[0] if counter else "", watt, of_patches)
    return Profile(tuple(rows), latency, power, latency.base * batches, capacity, source)


def _power(
    measured: Line | None, counter: str, given: float | None, of_patches: float
) -> tuple[float, str]:
    """G_n in watt, and where it comes from. A measured base has Eq. 2's share of the patches."""
    if measured is not None:
        return measured.base / of_patches, f"measured with {counter}"
    if given is not None:
        return given, "given by --power-watt"
    cores = psutil.cpu_count(logical=False) or 1
    return WATT_PER_CORE * cores, f"modelled: {WATT_PER_CORE:.0f} W for each of {cores} cores"


@torch.no_grad()
def _measure(
    module: nn.Module, pixels: Tensor, width: float, depth: int, counter: Counter | None
) -> Measured:
    for _ in range(WARM_UP):
        _seconds(module, pixels)
    times: list[float] = []
    start, joule = time.perf_counter(), counter() if counter else 0.0
    while len(times) < REPEATS or time.perf_counter() - start < SECONDS:
        times.append(_seconds(module, pixels))
    watt = (counter() - joule) / (time.perf_counter() - start) if counter else None
    p50, p90 = np.percentile(times, (50, 90))
    return Measured(width, depth, float(p50), float(p90), watt)


def _seconds(module: nn.Module, pixels: Tensor) -> float:
    start = time.perf_counter()
    module(pixels)
    if pixels.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _grid(settings: Settings) -> list[tuple[float, int]]:
    """The corners and the middle of the width x depth grid: five variants at most."""

    def ends(values: Sequence[float]) -> list[float]:
        ordered = sorted(values)
        return [ordered[0], ordered[-1]]

    widths, depths = sorted(settings.backbone.widths), sorted(settings.backbone.depths)
    corners = {(w, int(d)) for w in ends(widths) for d in ends(depths)}
    return sorted(corners | {(widths[len(widths) // 2], depths[len(depths) // 2])})


def _info(settings: Settings, classes: int) -> DataInfo:
    data, names = settings.data, tuple(str(i) for i in range(classes))
    spread = (0.5,) * data.channels
    return DataInfo(data.source, names, data.image_size, data.channels, spread, spread)
