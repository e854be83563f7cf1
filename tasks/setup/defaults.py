"""What a user's own data, model and fleet change in the shipped settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from tasks.data import encoder, sources
from tasks.data.contexts import ONE, Contexts
from tasks.data.dataset import Wanted
from tasks.data.images import contexts_in, image_shape, of_owners, partition_of
from tasks.data.listed import USUAL, Listed, read_listed
from tasks.data.plan import DevicePlan
from tasks.run.errors import DataError, SettingsError
from tasks.run.store import read_tensors
from tasks.run.words import counted
from tasks.settings.case import Case
from tasks.settings.fields import read_yaml
from tasks.settings.fleet import Device
from tasks.settings.fleet_file import read_fleet
from tasks.settings.params import Data, merged
from tasks.settings.sources import SOURCES, Counts
from tasks.setup.check import of_timm
from tasks.setup.texts import encoder_config, words_in

SHIPPED = Path(__file__).parent / "shipped"
"""Links to the project's own settings and stages, by names that DVC does not take for stages."""

Values = dict[str, Any]
LEAST = 4  # tokens a side
LARGEST = 32  # pixels a side that the small ViT gets unless more are asked for
DEVICES, CLUSTERS = 12, 3  # of a made-up fleet
FINE_TUNING_LR = 1.0e-4  # of weights that are trained already
EPOCHS = 5  # of a named model, a step of which takes long; a plain CNN at its size would too


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
    if (whole := whole_of(wishes.source)) is not None:
        return of_whole(wishes, whole)
    found = found_in(wishes, shipped["data"]["test_fraction"])
    owners = tuple(found.counts.devices or ()) if found else ()
    if owners and wishes.devices is not None:
        raise SettingsError(f"--devices: the data name theirs, which are {len(owners)}")
    if found and found.kind == "text":
        return of_texts(wishes, found, shipped)
    small = shipped["backbone"]["reference"]
    config = reference_config(wishes, found.images if found else None, small)
    backbone = of_small(wishes, config) if wishes.model is None else of_model(wishes, config)
    taken = {"image_size": config.image_size, "channels": config.channels}
    return settings_of(wishes, found, config, {"data": taken, "backbone": backbone}, shipped)


def of_texts(wishes: Wishes, found: Found, shipped: Mapping[str, Any]) -> Values:
    """Settings of texts that the user brings: of their encoder, which is fetched.

    Raises:
        SettingsError: there is no such encoder, or what is of images is asked for.
        DataError: no place has it.
    """
    for name in ("image_size", "channels", "checkpoint"):
        if getattr(wishes, name) is not None:
            raise SettingsError(f"--{name.replace('_', '-')}: it is of images, and these are texts")
    text = read_yaml(SHIPPED / "text.yaml")
    text["data"]["encoder"] = wishes.model or text["data"]["encoder"]
    encoder.fetch(text["data"]["encoder"], wishes.data)
    spec = Data.model_validate(
        {**shipped["data"], **text["data"], "source": wishes.source, "folder": wishes.data}
    )
    whole = encoder_config(spec, classes=1)
    # more than any device keeps, so that what fits with these fits
    config = replace(whole, vocabulary=len(words_in(spec, found.texts)))
    text["backbone"] = merged(text["backbone"], grid_of(config))
    return settings_of(wishes, found, config, text, shipped)


def settings_of(
    wishes: Wishes,
    found: Found | None,
    config: BackboneConfig,
    model: Values,
    shipped: Mapping[str, Any],
) -> Values:
    """Those of the ``model`` (nested), and what the data and the fleet make of them.

    Raises:
        SettingsError: the fleet is impossible, or there are too few samples.
    """
    owners = tuple(found.counts.devices or ()) if found else ()
    budget = shipped["matching"]["header_budget"] * max(1, config.dim // 64)
    sizes = variant_range(config, {**shipped["backbone"], **model["backbone"]})
    fleet = of_fleet(wishes, sizes, budget, owners)
    devices = devices_of(wishes, fleet, contexts_in(found.counts) if found else _made(shipped))
    slots = slots_of(devices)
    data: Values = {"source": wishes.source, "folder": str(wishes.data)}
    partition: Values = {"slots": max(slots, shipped["partition"]["slots"])}
    if found and owners:
        partition = dict(of_owners(found.counts))
    elif found:
        args = found.counts, devices, slots, shipped
        partition = dict(partition_of(*args, seed=wishes.seed, noun=found.kind))
    data |= {"manifest": found.manifest} if found and found.manifest else {}
    if found:  # what is brought is as it is: no synthetic contexts, and no names of any
        data["sensors"], partition["public_contexts"] = [], None
    ours: Values = {
        "seed": wishes.seed,
        "data": data,
        "partition": partition,
        "matching": {"header_budget": budget},
        "fleet": fleet,
    }
    return merged(model, ours)


def whole_of(source: str) -> Values | None:
    """What new settings of a source change that comes with settings of its own, a fleet among them;
    None of one that does not."""
    path = SHIPPED / f"{source}.yaml"
    if not path.is_file():
        return None
    own: Values = read_yaml(path)
    text = SOURCES[source].modality == "text"
    return merged(read_yaml(SHIPPED / "text.yaml"), own) if text else own


def of_whole(wishes: Wishes, whole: Values) -> Values:
    """Those settings, with another folder, seed or fleet.

    Raises:
        SettingsError: something else is asked for.
    """
    for name in ("image_size", "channels", "model", "checkpoint", "devices", "clusters"):
        if getattr(wishes, name) is not None:
            raise SettingsError(
                f"--{name.replace('_', '-')}: {wishes.source} comes with settings of its own: "
                "leave it out, and change what is written"
            )
    asked: Values = {"source": wishes.source, "folder": str(wishes.data)}
    fleet = {} if wishes.fleet is None else {"fleet": str(wishes.fleet)}
    return merged(whole, {"seed": wishes.seed, "data": asked, **fleet})


def _made(shipped: Mapping[str, Any]) -> Contexts:
    """The contexts that sensors make, of data that are fetched."""
    names = tuple(shipped["data"]["sensors"])
    if not names:
        return ONE
    public = shipped["partition"]["public_contexts"] or names
    return Contexts(names, tuple(map(names.index, public)), made=True)


@dataclass(frozen=True)
class Found:
    """What a user brings: how many samples of what, which may be the files of images or texts, and
    the file that lists them."""

    counts: Counts
    images: Iterable[Path]
    manifest: str | None
    texts: Sequence[str] = ()

    @property
    def kind(self) -> str:
        """What a sample is."""
        return "text" if self.texts else "image"


def found_in(wishes: Wishes, test_fraction: float) -> Found | None:
    """What the data's folder holds; None of a source that is fetched.

    Raises:
        DataError: it is not what the source reads.
    """
    if not SOURCES[wishes.source].brought:
        return None
    sources.fetch(wishes.source, wishes.data)
    name = manifest_in(wishes.data) if wishes.source == "manifest" else None
    met = met_in(wishes.fleet)
    wanted = Wanted(0, 0, wishes.seed, test_fraction, manifest=name or USUAL[0], met=met)
    counts = sources.count(wishes.source, wishes.data, wanted)
    assert counts is not None  # the folder is there
    listed = read_listed(wishes.data, wanted.manifest, met) if wishes.source == "manifest" else None
    if listed and listed.kind == "text":
        return Found(counts, (), name, [row.sample for row in listed.rows])
    return Found(counts, sources.images(wishes.source, wishes.data, wanted), name)


def met_in(fleet: Path | None) -> frozenset[tuple[int, str]]:
    """The devices and classes that a fleet's file says they want. Raises SettingsError as
    :func:`read_fleet`."""
    devices = [d for c in read_fleet(fleet) for d in c["devices"]] if fleet else []
    return frozenset(
        (device["id"], name) for device in devices for name in device.get("wanted", ())
    )


def listed_in(source: str, folder: Path, fleet: Path | None = None) -> Listed | None:
    """What a manifest lists, if the source is one and it is there."""
    name = manifest_in(folder) if source == "manifest" else None
    return read_listed(folder, name, met_in(fleet)) if name else None


def manifest_in(folder: Path) -> str | None:
    """The name of the file that lists the images in a folder.

    Raises:
        DataError: there are two.
    """
    there = [name for name in USUAL if (folder / name).is_file()]
    if len(there) > 1:
        raise DataError(f"{folder}: {' and '.join(there)}: keep one of them")
    return there[0] if there else None


def reference_config(
    wishes: Wishes, images: Iterable[Path] | None, small: Mapping[str, Any]
) -> ViTConfig:
    """The reference model's shape, with the image size and channels that the wishes and data give.

    Raises:
        SettingsError: there is no such model, or one that cannot be sliced.
    """
    source = SOURCES[wishes.source]
    side, channels = source.image_size or 0, source.channels or 0
    if images is not None:
        side, channels = image_shape(images)
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
    trained = hub or wishes.checkpoint is not None or is_registered(str(wishes.model))
    lr: Values = {"lr": FINE_TUNING_LR} if trained else {}
    return {
        "reference": {
            "name": wishes.model,
            "pretrained": hub,
            "initialisation": "timm",  # of as many dimensions
            **of_checkpoint(wishes),
        },
        **grid_of(config),
        "training": {"epochs": EPOCHS, "steps": None, **lr},
        "cnn": {"epochs": 0},
        "distillation": lr,
    }


def grid_of(config: BackboneConfig) -> Values:
    """Widths of whole heads, and depths of its own, of a model that others made."""
    heads = {kept(share, config.heads) for share in (0.25, 0.5, 0.75, 1.0)}
    depths = {max(1, round(config.depth * share)) for share in (1 / 3, 1 / 2, 2 / 3, 5 / 6, 1)}
    return {
        "widths": [int(1000 * count / config.heads) / 1000 for count in sorted(heads)],
        "depths": sorted(depths),
    }


def variant_range(config: BackboneConfig, grid: Mapping[str, Any]) -> tuple[int, int]:
    """Parameters of the smallest and the largest variant of a grid."""
    small = variant_config(config, min(grid["widths"]), min(grid["depths"]))
    large = variant_config(config, max(grid["widths"]), max(grid["depths"]))
    return backbone_parameters(small), backbone_parameters(large)


def of_fleet(
    wishes: Wishes, sizes: tuple[int, int], budget: int, owners: Sequence[int] = ()
) -> Any:
    """The fleet's file, its devices clustered as asked, or a made-up fleet: of the ``owners`` (ids)
    of the data, where there are some.

    Raises:
        SettingsError: the file is wrong, a device holds no variant, there are more clusters than
            devices, or both a file and a number of devices are asked for.
    """
    if wishes.fleet is None:
        ids = owners or range(wishes.devices or DEVICES)
        return made_up_fleet(ids, wishes.clusters, sizes, budget)
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
    ids: Sequence[int], clusters: int | None, sizes: tuple[int, int], budget: int
) -> list[Values]:
    """Devices of these ids that the variants of ``sizes`` fit with their headers, to be replaced by
    real ones (``acme profile`` measures one)."""
    devices = len(ids)
    count = min(CLUSTERS, devices) if clusters is None else clusters
    if count > devices:
        raise SettingsError(f"--clusters {count}: more than {counted(devices, 'device')}")
    rows = []
    for at, number in enumerate(ids):
        share = at / max(1, devices - 1)
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


def devices_of(wishes: Wishes, fleet: Any, contexts: Contexts) -> list[DevicePlan]:
    """The fleet's devices as the partition sees them, by id."""
    clusters = read_fleet(wishes.fleet) if wishes.fleet and isinstance(fleet, str) else fleet
    found = [
        DevicePlan(device.id, device.name, cluster["edge"], device.group, contexts.of(device))
        for cluster in clusters
        for device in (Device.model_construct(**row) for row in cluster["devices"])
    ]
    return sorted(found, key=lambda device: device.id)


def slots_of(devices: Sequence[DevicePlan]) -> int:
    """A part of the private data for each device, and a quarter more to be added later."""
    most = 1 + devices[-1].id
    return most + max(1, most // 4)
