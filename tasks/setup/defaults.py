"""What a user's own data, model and fleet change in the shipped settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from models.backbone.config import config_from
from models.backbone.elastic import kept, variant_config
from models.backbone.families.stem import StemConfig, config_of
from models.backbone.families.vit import ViTConfig
from models.backbone.family import BackboneConfig
from models.backbone.size import backbone_parameters
from tasks.cloud.named import has_weights
from tasks.cloud.registered import bring, is_registered
from tasks.data.images import count_images, image_shape, partition_of
from tasks.data.plan import DevicePlan
from tasks.links.ends import DEVICE
from tasks.run.errors import SettingsError
from tasks.run.store import read_tensors
from tasks.run.words import counted
from tasks.settings.case import Case
from tasks.settings.fleet_file import read_fleet
from tasks.settings.sources import SOURCES
from tasks.setup.check import of_timm

SHIPPED = Path(__file__).parent / "shipped"
"""Links to the project's own settings and stages, by names that DVC does not take for stages."""

Values = dict[str, Any]
LEAST = 4  # tokens a side
LARGEST = 32  # pixels a side that the small ViT gets unless more are asked for
DEVICES, CLUSTERS = 12, 3  # of a made-up fleet
FINE_TUNING_LR = 1.0e-4  # of weights that are trained already


@dataclass(frozen=True)
class Wishes:
    """What a user wants of new settings; None takes what fits the rest."""

    source: str
    data: Path
    image_size: int | None = None
    channels: int | None = None
    model: str | None = None
    checkpoint: Path | None = None
    fleet: Path | None = None
    devices: int | None = None
    clusters: int | None = None
    seed: int = 0


def changes(wishes: Wishes, shipped: Mapping[str, Any]) -> Values:
    """The settings that differ from the ``shipped`` ones, nested.

    Raises:
        SettingsError: the model, its checkpoint or the fleet is impossible, or too few images.
        DataError: there are no images.
    """
    images = count_images(wishes.data) if SOURCES[wishes.source].brought else None
    config = reference_config(wishes, images, shipped["backbone"]["reference"])
    backbone = of_small(wishes, config) if wishes.model is None else of_model(wishes, config)
    budget = shipped["matching"]["header_budget"] * max(1, config.dim // 64)
    grid = {**shipped["backbone"], **backbone}
    fleet = of_fleet(wishes, variant_range(config, grid), budget)
    devices = devices_of(wishes, fleet)
    slots = slots_of(devices)
    data = {"source": wishes.source, "folder": str(wishes.data)}
    partition: Values = {"slots": max(slots, shipped["partition"]["slots"])}
    if images:
        partition = partition_of(images, devices, slots, shipped, wishes.seed)
    return {
        "seed": wishes.seed,
        "data": {**data, "image_size": config.image_size, "channels": config.channels},
        "partition": partition,
        "backbone": backbone,
        "matching": {"header_budget": budget},
        "fleet": fleet,
    }


def reference_config(
    wishes: Wishes, images: Mapping[str, Any] | None, small: Mapping[str, Any]
) -> ViTConfig:
    """The reference model's shape, with the image size and channels that the wishes and data give.

    Raises:
        SettingsError: there is no such model, or one that cannot be sliced.
    """
    source = SOURCES[wishes.source]
    side, channels = source.image_size or 0, source.channels or 0
    if images:
        side, channels = image_shape(chain.from_iterable(images["train"].values()))
        side = max(4, min(LARGEST, side // 4 * 4))
    channels = wishes.channels or channels
    if wishes.model is None:
        return _small(wishes.image_size or side, channels, small)
    if is_registered(wishes.model):
        _, values = read_tensors(bring.fn(wishes.model, Case.here().project))
        config = config_from(values)
        if not isinstance(config, ViTConfig):
            raise SettingsError(f"--model {wishes.model}: a {config.family}, not a ViT")
        return config
    return of_timm(wishes.model, channels, wishes.image_size, where="--model")


def _small(side: int, channels: int, small: Mapping[str, Any]) -> ViTConfig:
    """The shipped small ViT, with the largest patches that leave at least 4 x 4 of them, or its
    stem, whose convolutions keep their stride where it leaves as many."""
    patch = max(p for p in range(1, side // 4 + 1) if side % p == 0)
    stem, left = [], side
    for width, stride in small.get("stem") or ():
        taken = stride if -(-left // stride) >= LEAST else 1
        left = -(-left // taken)
        stem.append((width, taken))
    spec = SimpleNamespace(**{**small, "patch_size": patch, "stem": tuple(stem) or None})
    return config_of(spec, side, channels, classes=1)


def of_small(wishes: Wishes, config: ViTConfig) -> Values:
    """Settings of the small ViT."""
    reference: Values = {"patch_size": config.patch_size, **of_checkpoint(wishes)}
    if isinstance(config, StemConfig):
        reference["stem"] = [list(layer) for layer in config.stem]
    return {"reference": reference}


def of_checkpoint(wishes: Wishes) -> Values:
    """The file of weights, where one is given. Raises SettingsError if it is not there."""
    if wishes.checkpoint is None:
        return {}
    if not wishes.checkpoint.is_file():
        raise SettingsError(f"--checkpoint {wishes.checkpoint}: no such file")
    return {"checkpoint": str(wishes.checkpoint)}


def of_model(wishes: Wishes, config: BackboneConfig) -> Values:
    """Settings of a model with weights: depths of its own, widths of whole heads, and steps that
    do not undo what it learned."""
    hub = wishes.checkpoint is None and has_weights(wishes.model)
    heads = {kept(share, config.heads) for share in (0.25, 0.5, 0.75, 1.0)}
    depths = {max(1, round(config.depth * share)) for share in (1 / 3, 1 / 2, 2 / 3, 5 / 6, 1)}
    return {
        "reference": {
            "name": wishes.model,
            "pretrained": hub,
            "stem": None,  # it has a patch embedding of its own
            **of_checkpoint(wishes),
        },
        "widths": [int(1000 * count / config.heads) / 1000 for count in sorted(heads)],
        "depths": sorted(depths),
        "training": {"lr": FINE_TUNING_LR},
        "distillation": {"lr": FINE_TUNING_LR},
    }


def variant_range(config: BackboneConfig, grid: Mapping[str, Any]) -> tuple[int, int]:
    """Parameters of the smallest and the largest variant of a grid."""
    small = variant_config(config, min(grid["widths"]), min(grid["depths"]))
    large = variant_config(config, max(grid["widths"]), max(grid["depths"]))
    return backbone_parameters(small), backbone_parameters(large)


def of_fleet(wishes: Wishes, sizes: tuple[int, int], budget: int) -> Any:
    """The fleet's file, its devices clustered as asked, or a made-up fleet.

    Raises:
        SettingsError: the file is wrong, a device holds no variant, there are more clusters than
            devices, or both a file and a number of devices are asked for.
    """
    if wishes.fleet is None:
        return made_up_fleet(wishes.devices or DEVICES, wishes.clusters, sizes, budget)
    if wishes.devices is not None:
        raise SettingsError("--devices is for a made-up fleet; --fleet names its own")
    clustered = read_fleet(wishes.fleet, wishes.clusters)
    needed = budget + sizes[0]
    for device in (d for cluster in clustered for d in cluster["devices"]):
        if device["storage_limit"] < needed:
            raise SettingsError(
                f"{wishes.fleet}: device {device['id']} holds {device['storage_limit']:,} "
                f"parameters, the smallest variant with its header needs {needed:,}: "
                "try a smaller --model"
            )
    return str(wishes.fleet) if wishes.clusters is None else clustered


def made_up_fleet(
    devices: int, clusters: int | None, sizes: tuple[int, int], budget: int
) -> list[Values]:
    """Devices that the variants of ``sizes`` fit with their headers, to be replaced by real ones
    (``acme profile`` measures one)."""
    count = min(CLUSTERS, devices) if clusters is None else clusters
    if count > devices:
        raise SettingsError(f"--clusters {count}: more than {counted(devices, 'device')}")
    rows = []
    for number in range(devices):
        share = number / max(1, devices - 1)
        limit = budget + sizes[0] + (0.2 + 0.8 * share) * (sizes[1] - sizes[0])
        rows.append(
            {
                "id": number,
                "group": number % 4,
                "storage_limit": 1000 * round(limit / 1000 + 0.5),
                "gpu_capacity_watt": round(5 + 20 * share),
                "base_latency_s": round(2.0 - 1.4 * share, 2),
            }
        )
    bounds = [round(k * devices / count) for k in range(count + 1)]
    return [{"edge": f"edge-{k}", "devices": rows[bounds[k] : bounds[k + 1]]} for k in range(count)]


def devices_of(wishes: Wishes, fleet: Any) -> list[DevicePlan]:
    """The fleet's devices as the partition sees them, by id."""
    clusters = read_fleet(wishes.fleet) if wishes.fleet and isinstance(fleet, str) else fleet
    found = [
        DevicePlan(
            device["id"], f"{DEVICE}{device['id']:02d}", cluster["edge"], device.get("group", 0)
        )
        for cluster in clusters
        for device in cluster["devices"]
    ]
    return sorted(found, key=lambda device: device.id)


def slots_of(devices: Sequence[DevicePlan]) -> int:
    """A part of the private data for each device, and a quarter more to be added later."""
    most = 1 + devices[-1].id
    return most + max(1, most // 4)
