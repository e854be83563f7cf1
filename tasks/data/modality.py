"""What every tier knows of the data, by their modality: how raw samples become what models take."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from models.versions import UnreadableError, readable
from tasks.data.dataset import ALL
from tasks.run.errors import ArtifactError, SettingsError

VERSION = 1
"""Of ``data.json`` and the manifest. What has none is older, and is read."""


@dataclass(frozen=True)
class DataInfo(ABC):
    """Public facts only. Cached tasks take it, so it holds nothing that another device's data
    change.

    Attributes:
        contexts: the circumstances in which samples arise; one where a source tells of none.
        synthetic_contexts: whether sensors make them (:mod:`models.sensors`).
        wanted: the classes that matter; all where a source tells of none.
    """

    modality: ClassVar[str]
    raw: ClassVar[str]
    """What a message calls raw samples, and an owner's file those of a split, after its name and
    ``_``."""

    source: str
    classes: tuple[str, ...]
    contexts: tuple[str, ...] = field(default=(ALL,), kw_only=True)
    synthetic_contexts: bool = field(default=False, kw_only=True)
    wanted: tuple[str, ...] = field(default=(), kw_only=True)

    @abstractmethod
    def inputs(self, raw: Tensor) -> Tensor:
        """Raw samples as the backbone takes them."""

    @abstractmethod
    def shipped(self, raw: Tensor) -> Tensor:
        """Raw samples as a model that ships takes them: it prepares them itself."""

    @abstractmethod
    def summary(self, raw: Tensor) -> NDArray[np.float64]:
        """One number in 0..1 a sample ``(n,)``, by whose histogram a device knows later whether its
        data still look the same."""

    @abstractmethod
    def raw_bytes(self, raw: Tensor) -> int:
        """What raw samples weigh uncompressed."""

    @abstractmethod
    def example(self, count: int) -> Tensor:
        """Made-up inputs of a model that ships."""


@dataclass(frozen=True)
class ImageInfo(DataInfo):
    """Square images. ``mean`` and ``std`` (one value a channel, pixels in 0..1) come from the
    public train split."""

    modality: ClassVar[str] = "image"
    raw: ClassVar[str] = "images"

    image_size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def inputs(self, raw: Tensor) -> Tensor:
        """uint8 pixels to standardised float32, ``(n, channels, height, width)``."""
        return standardise(raw, self.mean, self.std)

    def shipped(self, raw: Tensor) -> Tensor:
        """Float32 pixels in 0..1."""
        return pixels_of(raw)

    def summary(self, raw: Tensor) -> NDArray[np.float64]:
        """The mean brightness."""
        brightness: NDArray[np.float64] = raw.numpy().mean((1, 2, 3)) / 255
        return brightness

    def raw_bytes(self, raw: Tensor) -> int:
        return raw.numel()

    def example(self, count: int) -> Tensor:
        """Pixels in 0..1."""
        generator = torch.Generator().manual_seed(0)
        return torch.rand(
            (count, self.channels, self.image_size, self.image_size), generator=generator
        )


MODALITIES: dict[str, type[DataInfo]] = {kind.modality: kind for kind in (ImageInfo,)}


def of_images(info: DataInfo) -> ImageInfo:
    """The facts of images. Raises SettingsError if the data are others."""
    if not isinstance(info, ImageInfo):
        raise SettingsError(f"data.source {info.source}: this takes images, not {info.modality}")
    return info


def pixels_of(images: Tensor) -> Tensor:
    """uint8 images to what a delivered model takes: float32 in 0..1."""
    return images.float() / 255


def standardise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 pixels to standardised float32, ``(n, channels, height, width)``."""
    shape = (1, -1, 1, 1)
    return (pixels_of(images) - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)


def to_json(info: DataInfo) -> dict[str, Any]:
    """The facts as ``data.json`` holds them."""
    return {"version": VERSION, "modality": info.modality, **asdict(info)}


def from_json(values: Mapping[str, Any], where: str) -> DataInfo:
    """The facts that :func:`to_json` gave, of this version or an older one.

    Raises:
        ArtifactError: they are of a newer version, of an unknown modality, or no such facts.
    """
    if not isinstance(values, Mapping):
        raise ArtifactError(f"{where}: no facts of data by name. Run: acme stage partition")
    require_readable(values, where)
    modality = str(values.get("modality", ImageInfo.modality))
    if modality not in MODALITIES:
        known = ", ".join(MODALITIES)
        raise ArtifactError(f"{where}: unknown modality {modality!r}; this program knows {known}")
    facts = {name: value for name, value in values.items() if name not in ("version", "modality")}
    try:
        return TypeAdapter(MODALITIES[modality]).validate_python(facts)
    except ValidationError as error:
        words = " ".join(str(error).split())
        raise ArtifactError(f"{where}: {words}. Run: acme stage partition") from None


def require_readable(values: Mapping[str, Any], where: str) -> None:
    """Raises ArtifactError if a file is of a newer version than this program reads."""
    try:
        readable(where, values, VERSION)
    except UnreadableError as error:
        raise ArtifactError(str(error)) from None
