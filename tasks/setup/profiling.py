"""What variants of the reference model cost on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import psutil
import torch
from torch import Tensor, nn

from models.backbone.config import build
from models.backbone.family import Backbone
from models.backbone.slicing import slice_variant
from models.matching.profile import Line, fit, power_constants
from tasks.cloud.reference import reference_model
from tasks.data import own
from tasks.data.modality import DataInfo, ImageInfo, of_images
from tasks.data.samples import read_info
from tasks.run.compute import Machine
from tasks.run.errors import SettingsError
from tasks.run.latency import seconds_a_call
from tasks.run.progress import progress
from tasks.run.store import Ref
from tasks.run.words import counted
from tasks.settings.case import Case
from tasks.settings.params import ReferenceModel, Settings
from tasks.setup.check import count
from tasks.setup.power import Counter, find_counter
from tasks.setup.texts import encoder_config, is_there

BATCH, CLASSES = 32, 10
ROUNDS = 4  # variants are timed in turn, so that what else the machine does meets all alike
REPEATS, SECONDS = 6, 0.25  # at least so many a round, and at least so long
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
    power_growth: float | None
    power_from: str


def profile(settings: Settings, watt: float | None, registered: Ref | None = None) -> Profile:
    """Time a few variants of the settings' reference model (its weights do not matter), and fit.

    An epoch is one forward pass over a device's train split. Power is measured where a counter
    exists.

    Args:
        watt: the device's power where it is known and cannot be measured.
        registered: what :func:`tasks.cloud.registered.bring` brought, if the reference is one.

    Raises:
        SettingsError: the reference model cannot be built, or the grid has one size only.
    """
    place = Machine.of(settings.compute, settings.threads).prepare()
    vit, inputs = _model(settings, registered)
    counter = find_counter(_gpu(place))
    grid, strategy = _grid(settings), settings.backbone.depth_strategy
    variants = [slice_variant(vit, w, d, strategy).to(place) for w, d in grid]
    rows = _measure(variants, grid, inputs.to(place), counter[1] if counter else None)
    try:
        latency = fit(grid, [row.p50_s for row in rows])
        power = fit(grid, [row.watt or 0.0 for row in rows]) if counter else None
    except ValueError as error:
        raise SettingsError(f"profile: {error}") from None
    per_batch = settings.matching.energy.batch_power
    capacity, growth, source = _power(power, watt, per_batch, vit.config.positions)
    source += f" with {counter[0]}" if counter else ""
    epoch = train_samples(settings) / BATCH
    return Profile(tuple(rows), latency, power, latency.base * epoch, capacity, growth, source)


def _model(settings: Settings, registered: Ref | None) -> tuple[Backbone, Tensor]:
    """The reference model, of any weights, and a batch of made-up inputs.

    Raises:
        SettingsError: it cannot be built.
    """
    if settings.data.modality == "text":
        if not is_there(settings.data):
            raise SettingsError(
                f"profile: the encoder is not in {settings.data.folder} yet. Try: acme data fetch"
            )
        config = encoder_config(settings.data, CLASSES)
        words = torch.Generator().manual_seed(settings.seed)
        shape = (BATCH, config.length)
        inputs = torch.randint(config.vocabulary, shape, generator=words)
        return build(config, settings.seed), inputs
    info = of_images(_info(settings))
    model = settings.backbone.reference.part(ReferenceModel)
    spec = model.model_copy(update={"pretrained": False})
    vit = reference_model(spec, info, settings.seed, registered)
    return vit, torch.rand(BATCH, info.channels, info.image_size, info.image_size)


def train_samples(settings: Settings) -> int:
    """How many samples a device trains on: of those that it is dealt, or where that is nothing, on
    average of those that devices bring themselves.

    Raises:
        SettingsError: devices bring their own, and these are not here.
    """
    spec = settings.partition
    samples = float(spec.samples_per_device)
    if not samples:
        counts = count(settings)
        brought = own.counted_of(settings, counts) if counts else {}
        samples = sum(of.samples for of in brought.values()) / len(settings.devices)
    if not samples:
        raise SettingsError(
            "profile: an epoch is over what devices bring (partition.samples_per_device: 0), and "
            f"{settings.data.folder} has none: bring them here"
        )
    return max(1, round(samples * spec.train_fraction))


def _power(
    measured: Line | None, given: float | None, per_patch: float, patches: int
) -> tuple[float, float | None, str]:
    """G_n in watt, a of Eq. 2 where it was measured, and where they come from."""
    if measured is not None:
        return *power_constants(measured, per_patch, patches), "measured"
    if given is not None:
        return given, None, "given by --power-watt"
    cores = psutil.cpu_count(logical=False) or 1
    return (
        WATT_PER_CORE * cores,
        None,
        f"modelled: {counted(cores, 'core')} at {WATT_PER_CORE:.0f} W",
    )


@torch.no_grad()
def _measure(
    variants: Sequence[nn.Module],
    grid: Sequence[tuple[float, int]],
    inputs: Tensor,
    counter: Counter | None,
) -> list[Measured]:
    """Every variant in every round; a round before them warms up and is not counted."""
    times: list[list[float]] = [[] for _ in variants]
    joules, seconds = [0.0] * len(variants), [0.0] * len(variants)
    with progress("profiling variants") as on_step:
        for turn in range(-1, ROUNDS):
            for index, module in enumerate(variants):
                start, joule = time.perf_counter(), counter() if counter else 0.0
                found = seconds_a_call(module, inputs, REPEATS, SECONDS)
                if turn >= 0:
                    times[index] += found
                    seconds[index] += time.perf_counter() - start
                    joules[index] += counter() - joule if counter else 0.0
            on_step(turn + 2, ROUNDS + 1, {})
    rows = []
    for index, (width, depth) in enumerate(grid):
        p50_s, p90_s = map(float, np.percentile(times[index], (50, 90)))
        watt = joules[index] / seconds[index] if counter else None
        rows.append(Measured(width, depth, p50_s, p90_s, watt))
    return rows


def _gpu(place: torch.device) -> str | None:
    """The UUID of the GPU that computes, which other programs may number otherwise."""
    if place.type != "cuda":
        return None
    return f"GPU-{torch.cuda.get_device_properties(place).uuid}"


def _grid(settings: Settings) -> list[tuple[float, int]]:
    """The corners and the middle of the width x depth grid: five variants at most."""

    def ends(values: Sequence[float]) -> list[float]:
        ordered = sorted(values)
        return [ordered[0], ordered[-1]]

    widths, depths = sorted(settings.backbone.widths), sorted(settings.backbone.depths)
    corners = {(w, int(d)) for w in ends(widths) for d in ends(depths)}
    return sorted(corners | {(widths[len(widths) // 2], depths[len(depths) // 2])})


def _info(settings: Settings) -> DataInfo:
    """The data's facts; where they are not divided yet, with a made-up number of classes."""
    partition = Case.here().partition
    if (partition / "data.json").exists():
        return read_info(partition)
    data, names = settings.data, tuple(str(i) for i in range(CLASSES))
    spread = (0.5,) * data.channels
    return ImageInfo(data.source, names, data.image_size, data.channels, spread, spread)
