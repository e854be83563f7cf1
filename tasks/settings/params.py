"""The one module that reads ``params.yaml``, into frozen and validated settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from models.backbone.distillation import Distillation
from models.backbone.elastic import Grid
from models.backbone.families.stem import Stem
from models.backbone.training import Schedule, Training
from models.header.recipe import HeaderSearch, JointTraining
from models.matching.recipe import Choice, EnergyConstants
from models.ranges import Answerable, Count, Few, Fraction, Part, Positive, Size, twice
from models.refinement.recipe import Likeness, LocalTraining, Pruning, Sketching
from tasks.run.errors import SettingsError
from tasks.run.words import counted
from tasks.settings.fields import Frozen, Place, Section, in_words, read_yaml, taken_for_numbers
from tasks.settings.fleet import Cluster, Device
from tasks.settings.sources import SOURCES

MOST_NAMED = 20  # devices that an error lists
Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What numpy, pandas and torch all take."""


LISTS = (".csv", ".parquet")
"""Kinds of files that list samples."""


def listable(name: str) -> str:
    """Raises ValueError if a file that lists samples cannot be called so."""
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or "\0" in name:
        raise ValueError(f"{name!r}: give its name below data.folder")
    if place.suffix.lower() not in LISTS:
        raise ValueError(f"{name!r}: give a file of CSV or parquet ({', '.join(LISTS)})")
    return name


class Data(Frozen):
    source: str
    folder: Place
    origin: Place | None = None
    image_size: Size
    channels: Literal[1, 3]
    test_fraction: Part = 0.2
    context_folders: bool = False
    manifest: Annotated[str, AfterValidator(listable)] = "manifest.csv"
    sensors: tuple[str, ...] = ()
    encoder: Annotated[str, Field(min_length=1)] | None = None
    length: Annotated[int, Field(ge=4, le=4096)] = 32

    @property
    def modality(self) -> str:
        """What the samples are, e.g. ``image``."""
        known = SOURCES[self.source].modality
        return known or ("image" if self.encoder is None else "text")

    @model_validator(mode="after")
    def _contexts_have_one_origin(self) -> Data:
        if self.context_folders and self.source != "image-folder":
            raise ValueError("context_folders is of the source image-folder alone")
        if self.context_folders and self.sensors:
            raise ValueError("context_folders or sensors: samples have one context, not two")
        if again := twice(self.sensors):
            raise ValueError(f"sensors: {again} stands there more than once")
        return self

    @model_validator(mode="after")
    def _texts_have_an_encoder(self) -> Data:
        if self.source not in SOURCES:
            return self  # which is told with the sources that there are
        if self.modality == "text" and self.encoder is None:
            raise ValueError(f"encoder: null, but {self.source} is of texts: name one")
        if self.modality != "text" and self.encoder is not None:
            raise ValueError(f"encoder: it is for texts, and {self.source} is of images: null")
        if self.modality == "text" and self.sensors:
            raise ValueError("sensors: they see images, not texts: []")
        return self


class Partition(Frozen):
    heterogeneity: Literal["iid", "C1", "C2", "C3", "dirichlet"]
    dirichlet_alpha: Annotated[float, Field(ge=1e-3, le=1e6)]
    public_train: Positive
    public_val: Positive
    public_test: Positive
    samples_per_device: Count
    train_fraction: Part
    val_fraction: Part
    shared_fraction: Annotated[float, Field(ge=0.1, le=0.2)]
    shared_val_fraction: Part
    slots: Annotated[int, Field(ge=1, le=100_000)] | None
    public_contexts: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    ceiling_samples: Annotated[int, Field(ge=0, le=2000)] = 2000
    unseen_classes: Count = 0

    @property
    def counts(self) -> tuple[int, int, int]:
        """A device's samples in train, val and test."""
        total = self.samples_per_device
        train, val = round(total * self.train_fraction), round(total * self.val_fraction)
        return train, val, total - train - val

    @model_validator(mode="after")
    def _fills_each_split(self) -> Partition:
        if 0 < self.samples_per_device < 10:
            raise ValueError(
                f"samples_per_device {self.samples_per_device}: 10 or more, or 0 for devices that "
                "live on their own (docs/fleet.md, docs/manifest.md)"
            )
        if self.unseen_classes and not self.samples_per_device:
            raise ValueError(
                f"unseen_classes {self.unseen_classes}: with samples_per_device 0 none are dealt: "
                "give 0, and name the classes that a device wants in the fleet (wanted)"
            )
        if self.train_fraction + self.val_fraction >= 1:
            raise ValueError("train_fraction + val_fraction leave nothing for the test split")
        if again := twice(self.public_contexts or ()):
            raise ValueError(f"public_contexts: {again} stands there more than once")
        if self.samples_per_device and not all(self.counts):
            raise ValueError(
                f"samples_per_device {self.samples_per_device} leaves "
                f"{' + '.join(map(str, self.counts))} to train, validate and test: give each split "
                "one at least"
            )
        return self


REGISTERED = re.compile(r"models:/[^/@]+(@[^/@]+|/[0-9]+)")
"""How a model of the registry is named."""


class ReferenceModel(Frozen):
    """Which model the reference is, wherever its weights lie."""

    name: str | None = None
    pretrained: bool = False
    patch_size: Size
    dim: Size
    depth: Few
    heads: Few
    mlp_ratio: Annotated[float, Field(gt=0, le=64)]
    stem: Stem | None = None
    initialisation: str = "timm"

    @property
    def registered(self) -> bool:
        """Whether the name is one of the registry's, e.g. ``models:/my-vit@champion``."""
        return bool(self.name and self.name.startswith("models:/"))

    @property
    def moves(self) -> bool:
        """Whether the name is an alias of the registry's, which may mean another model tomorrow."""
        return self.registered and "@" in str(self.name)

    @model_validator(mode="after")
    def _weights_have_a_model(self) -> ReferenceModel:
        if self.pretrained and self.name is None:
            raise ValueError("pretrained needs the `name` of a timm model")
        if self.registered and not REGISTERED.fullmatch(str(self.name)):
            raise ValueError(f"name {self.name}: give models:/NAME@ALIAS or models:/NAME/VERSION")
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is not a multiple of heads {self.heads}")
        if self.dim * self.mlp_ratio < 1:
            raise ValueError(f"mlp_ratio {self.mlp_ratio} of dim {self.dim} leaves no neuron")
        if self.name is None and self.stem is not None and self.stem[-1][0] != self.dim:
            raise ValueError(f"stem ends with {self.stem[-1][0]} channels: give dim's {self.dim}")
        return self


class Reference(ReferenceModel):
    """And a file of weights. Tasks get its content, not its path."""

    checkpoint: Place | None = None

    @model_validator(mode="after")
    def _has_one_origin(self) -> Reference:
        if self.registered and (self.checkpoint or self.pretrained):
            raise ValueError("a model of the registry has its weights: no checkpoint, no hub's")
        return self


NONE = Schedule(epochs=0, batch_size=64, lr=3.0e-3, weight_decay=0.05)
"""Of a plain CNN that is not asked for."""


@dataclass(frozen=True)
class Backbone(Grid, Section):
    reference: Reference
    training: Training
    importance_samples: Positive
    distillation: Distillation
    cnn: Schedule = NONE
    at_chance: Literal["stop", "warn"] = "stop"
    refit_samples: Count = 0


@dataclass(frozen=True)
class Matching(Choice, Section):
    header_budget: Positive
    energy: EnergyConstants
    quorum: Fraction = 0.5


@dataclass(frozen=True)
class Edge(HeaderSearch, JointTraining, Section):
    public_features: Count


@dataclass(frozen=True)
class Refinement(Likeness, Sketching, LocalTraining, Pruning, Section):
    rounds: Positive
    steps: Positive
    tuning_steps: Positive
    joint: Literal["group", "sum"]
    rank: Annotated[int, Field(ge=1, le=4096)]
    quorum: Fraction
    exchange: str = "statistics"
    prune_by: str = "importance"
    ask_first: bool = False
    answers: Answerable = "wanted"
    ceiling_steps: Count = 400
    deadline_s: Annotated[float, Field(gt=0, le=1e7)] | None = None


class Settings(Frozen):
    seed: Seed
    compute: Literal["auto", "cpu", "cuda"]
    threads: Annotated[int, Field(ge=1, le=1024)]
    data: Data
    partition: Partition
    backbone: Backbone
    matching: Matching
    edge: Edge
    refinement: Refinement
    fleet: Annotated[tuple[Cluster, ...], Field(min_length=1)]

    @property
    def flip(self) -> bool:
        """Whether public samples are mirrored in training: as set, else as suits their source."""
        asked = self.backbone.training.flip
        return SOURCES[self.data.source].flip if asked is None else asked

    @property
    def texts(self) -> bool:
        """Whether the samples are texts."""
        return self.data.source in SOURCES and self.data.modality == "text"

    @property
    def devices(self) -> tuple[Device, ...]:
        """All devices, in the fleet's order."""
        return tuple(device for cluster in self.fleet for device in cluster.devices)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Settings:
        ids = tuple(device.id for device in self.devices)
        edges = tuple(cluster.edge for cluster in self.fleet)
        for what, values in (("device id", ids), ("edge", edges)):
            if again := twice(values):
                raise ValueError(f"fleet: {what} {again} appears more than once")
        if self.partition.slots is not None and max(ids) >= self.partition.slots:
            raise ValueError(
                f"fleet: device id {max(ids)} needs partition.slots > {max(ids)} "
                f"(it is {self.partition.slots}; raising it reshuffles every device's data)"
            )
        return self

    @model_validator(mode="after")
    def _depths_are_the_reference_s(self) -> Settings:
        deepest, reference = max(self.backbone.depths), self.backbone.reference
        if self.texts or reference.name is not None or deepest <= reference.depth:
            return self
        raise ValueError(
            f"backbone.depths {list(self.backbone.depths)}: the reference has "
            f"{counted(reference.depth, 'layer')}"
        )

    @model_validator(mode="after")
    def _texts_have_their_reference(self) -> Settings:
        spec = self.backbone
        if not self.texts:
            if spec.distillation.parallel:
                raise ValueError("backbone.distillation.parallel: it is of texts: false")
            return self
        for name in ("name", "checkpoint"):
            if getattr(spec.reference, name) is not None:
                raise ValueError(
                    f"backbone.reference.{name}: data.encoder is the reference of texts: null"
                )
        if spec.training.flip:
            raise ValueError("backbone.training.flip: texts are not mirrored: null")
        return self

    @model_validator(mode="after")
    def _sensors_have_samples(self) -> Settings:
        if self.data.sensors and not self.partition.samples_per_device:
            raise ValueError(
                "partition.samples_per_device 0: devices live on their own images, which no sensor "
                "sees: set data.sensors: []"
            )
        return self

    @model_validator(mode="after")
    def _edges_have_samples(self) -> Settings:
        if not (self.partition.samples_per_device or self.edge.public_features):
            raise ValueError(
                "partition.samples_per_device 0: devices share nothing, and with "
                "edge.public_features 0 an edge has nothing to search a header with: raise it"
            )
        return self


def load(path: Path, overlay: Mapping[str, Any] | None = None) -> Settings:
    """Read and validate the settings file, with the values of ``overlay`` (nested) on top.

    Raises:
        SettingsError: the file is missing, not YAML, or a value is impossible; each is named.
    """
    from tasks.settings.fleet_file import read_fleet  # not above: devices read no fleet's file

    values = read_yaml(path)
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: expected settings by name, found {type(values).__name__}")
    values = merged(values, overlay or {})
    if isinstance(values.get("fleet"), str):
        values["fleet"] = read_fleet(path.parent / values["fleet"])
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(f"{path}: {in_words(error)}") from None
    if flags := "; ".join(taken_for_numbers(values, settings)):
        raise SettingsError(f"{path}: {flags}")
    return settings


def device_name(settings: Settings, device: str) -> str:
    """A device's name from its name or id. Raises SettingsError if the fleet has no such device."""
    names = {str(d.id): d.name for d in settings.devices}
    name = names.get(device.lstrip("0") or "0", device)
    if name not in names.values():
        known = ", ".join([*names.values()][:MOST_NAMED]) + ", ..." * (len(names) > MOST_NAMED)
        raise SettingsError(f"{device[:80]}: no such device. The fleet has: {known}")
    return name


def merged(values: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with those of ``overlay`` on top; mappings merge, everything else is replaced."""
    result = dict(values)
    for name, value in overlay.items():
        below = result.get(name)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            value = merged(below, value)
        result[name] = value
    return result
