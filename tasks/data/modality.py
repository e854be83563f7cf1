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
from torch import Tensor, nn

from models.standardise import Standardise
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
    takes: ClassVar[str]
    """What a model that ships takes, in words."""
    look: ClassVar[str]
    """What :meth:`summary` is called."""
    bins: ClassVar[int]
    """Of a histogram of it, between 0 and 1."""

    source: str
    classes: tuple[str, ...]
    contexts: tuple[str, ...] = field(default=(ALL,), kw_only=True)
    synthetic_contexts: bool = field(default=False, kw_only=True)
    wanted: tuple[str, ...] = field(default=(), kw_only=True)

    @abstractmethod
    def inputs(self, raw: Tensor) -> Tensor:
        """Raw samples as the backbone takes them."""

    @abstractmethod
    def shipped(self, raw: Tensor, words: Tensor | None = None) -> Tensor:
        """Raw samples as a model that ships takes them: it prepares them itself. ``words`` are the
        rows of a vocabulary that it has (:mod:`tasks.data.words`); None: all, or there is none."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of one input of a model that ships."""

    @abstractmethod
    def prepare(self) -> nn.Module:
        """The part of a model that ships which comes before the backbone."""

    @abstractmethod
    def summary(self, raw: Tensor) -> NDArray[np.float64]:
        """One number in 0..1 a sample ``(n,)``, by whose histogram a device knows later whether its
        data still look the same."""

    @abstractmethod
    def raw_bytes(self, raw: Tensor) -> int:
        """What raw samples weigh uncompressed."""

    @abstractmethod
    def example(self, count: int, words: Tensor | None = None) -> Tensor:
        """Made-up inputs of a model that ships; ``words`` as :meth:`shipped` takes them."""


@dataclass(frozen=True)
class ImageInfo(DataInfo):
    """Square images. ``mean`` and ``std`` (one value a channel, pixels in 0..1) come from the
    public train split."""

    modality: ClassVar[str] = "image"
    raw: ClassVar[str] = "images"
    takes: ClassVar[str] = "float32 pixels in 0..1, (n, channels, image_size, image_size)"
    look: ClassVar[str] = "brightness"
    bins: ClassVar[int] = 8

    image_size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def inputs(self, raw: Tensor) -> Tensor:
        """uint8 pixels to standardised float32, ``(n, channels, height, width)``."""
        return standardise(raw, self.mean, self.std)

    def shipped(self, raw: Tensor, words: Tensor | None = None) -> Tensor:
        """Float32 pixels in 0..1."""
        return pixels_of(raw)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.channels, self.image_size, self.image_size

    def prepare(self) -> nn.Module:
        return Standardise(self.mean, self.std)

    def summary(self, raw: Tensor) -> NDArray[np.float64]:
        """The mean brightness."""
        brightness: NDArray[np.float64] = raw.numpy().mean((1, 2, 3)) / 255
        return brightness

    def raw_bytes(self, raw: Tensor) -> int:
        return raw.numel()

    def example(self, count: int, words: Tensor | None = None) -> Tensor:
        """Pixels in 0..1."""
        generator = torch.Generator().manual_seed(0)
        return torch.rand((count, *self.shape), generator=generator)


STREWN, RARE = 2**0.5 - 1, 0.4
"""A step that never comes back to a place; the mean rank, as a share of the vocabulary, from which
tokens are rare: German's is 0.3, that of Japanese in an English vocabulary 0.5."""
SMALL_VOCABULARY = 2**16
"""So many tokens have a number of two bytes."""


@dataclass(frozen=True)
class TextInfo(DataInfo):
    """Texts as the numbers of their tokens, in the whole vocabulary of the encoder whose tokenizer
    made them: int32 ``(n, length)``, ``pad`` where a text has no more.

    Attributes:
        length: tokens of a text, those that mark its ends among them.
        vocabulary: how many there are.
        pad: the number of none.
        pivot: the context that the texts of others are translations of; None: they are of none.
        letters: the number of the first token that is a letter: marks and digits come before.
    """

    modality: ClassVar[str] = "text"
    raw: ClassVar[str] = "tokens"
    takes: ClassVar[str] = "int64 numbers of tokens as tokenizer.json has them, (n, length)"
    look: ClassVar[str] = "language"
    bins: ClassVar[int] = 16

    length: int
    vocabulary: int
    pad: int
    pivot: str | None = None
    letters: int = 0

    def inputs(self, raw: Tensor) -> Tensor:
        """int64 numbers ``(n, length)``."""
        return raw.long()

    def shipped(self, raw: Tensor, words: Tensor | None = None) -> Tensor:
        """int64 numbers in a vocabulary of ``words`` alone (sorted numbers in the whole one): each
        one's place among them.

        Raises:
            ValueError: a token is none of the words.
        """
        if words is None:
            return raw.long()
        rows, whole = words.long(), raw.long()
        places = torch.searchsorted(rows, whole).clamp(max=len(rows) - 1)
        if not torch.equal(rows[places], whole):
            raise ValueError("a token is not in the vocabulary of the model that ships")
        return places

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.length,)

    def prepare(self) -> nn.Module:
        return nn.Identity()

    def summary(self, raw: Tensor) -> NDArray[np.float64]:
        """By what a text betrays its language: the most common of its tokens with letters (in
        English often ``a`` or ``the``), numbers being in the order of frequency. Each of these has
        a place of its own, strewn over the lower half of 0..1; in the upper half, where a text's
        tokens are so rare that the vocabulary is of another script."""
        real = (raw != self.pad) & (raw >= self.letters)
        common = torch.where(real, raw, self.vocabulary).min(1).values.double()
        rank = (raw * real).sum(1).double() / (real.sum(1).clamp(min=1) * self.vocabulary)
        found: NDArray[np.float64] = ((common * STREWN % 1 + (rank > RARE)) / 2).numpy()
        return found

    def raw_bytes(self, raw: Tensor) -> int:
        """Two bytes a token, or four in a large vocabulary, and none for padding: fewer than the
        text itself has, so that what a centralised system uploads is not overstated."""
        return int((raw != self.pad).sum()) * (2 if self.vocabulary <= SMALL_VOCABULARY else 4)

    def example(self, count: int, words: Tensor | None = None) -> Tensor:
        """Texts of the full length ``(count, length)``: none of their tokens is padding."""
        whole = torch.arange(self.vocabulary) if words is None else words.long()
        real = torch.nonzero(whole != self.pad)[:, 0]
        generator = torch.Generator().manual_seed(0)
        return real[torch.randint(len(real), (count, self.length), generator=generator)]


MODALITIES: dict[str, type[DataInfo]] = {kind.modality: kind for kind in (ImageInfo, TextInfo)}


def of_images(info: DataInfo) -> ImageInfo:
    """The facts of images. Raises SettingsError if the data are others."""
    if not isinstance(info, ImageInfo):
        raise SettingsError(f"data.source {info.source}: this takes images, not {info.modality}")
    return info


def of_texts(info: DataInfo) -> TextInfo:
    """The facts of texts. Raises SettingsError if the data are others."""
    if not isinstance(info, TextInfo):
        raise SettingsError(f"data.source {info.source}: this takes texts, not {info.modality}")
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
