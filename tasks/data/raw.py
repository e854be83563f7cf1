"""Raw samples as the partition's files hold them, by modality."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from models.sensors import seen
from tasks.data import own
from tasks.data.contexts import Contexts
from tasks.data.dataset import Dataset, Images
from tasks.data.modality import DataInfo, ImageInfo
from tasks.data.rows import position
from tasks.data.samples import CLOUD
from tasks.settings.params import Data

Arrays = Mapping[str, np.ndarray]
"""By what sample ids begin with."""


@dataclass(frozen=True)
class Divided:
    """Data, and the manifest that says whose they are. ``samples`` are all raw ones."""

    spec: Data
    data: Dataset
    contexts: Contexts
    manifest: pd.DataFrame
    samples: Arrays

    def take(self, rows: pd.DataFrame) -> list[Any]:
        """The raw samples of a manifest's rows."""
        return taken(self.samples, rows)

    @property
    def public(self) -> pd.DataFrame:
        """The rows that the cloud trains on."""
        rows = self.manifest
        return rows[(rows["tier"] == CLOUD) & (rows["split"] == "train")]


def taken(arrays: Arrays, rows: pd.DataFrame) -> list[Any]:
    """What arrays hold of a manifest's rows."""
    return [arrays[split][index] for split, index in map(position, rows["sample_id"])]


class Raw(ABC):
    """The raw samples of divided data, as tensors."""

    name: ClassVar[str]
    """:attr:`DataInfo.raw`."""

    @property
    @abstractmethod
    def info(self) -> DataInfo:
        """The public facts."""

    @abstractmethod
    def of(self, rows: pd.DataFrame, owner: str) -> Tensor:
        """Those of an owner's rows."""

    @abstractmethod
    def spare(self, rows: pd.DataFrame) -> Tensor:
        """Those of rows of one context that are nobody's."""

    def beside(self, owner: str, train: pd.DataFrame) -> dict[str, Tensor]:
        """What an owner's file has beside its splits; ``train`` are the rows of that."""
        return {}

    def write(self, out: Path) -> list[str]:
        """Write what is no owner's, too; returns the names of the files that the cloud reads."""
        return []


class RawImages(Raw):
    """uint8 pixels ``(n, channels, height, width)``, where sensors make contexts as the one of
    their context sees them."""

    name = ImageInfo.raw

    def __init__(self, divided: Divided) -> None:
        self.divided = divided

    @property
    def info(self) -> ImageInfo:
        data, contexts, spec = self.divided.data, self.divided.contexts, self.divided.spec
        images = self._pixels(self.divided.public) / 255.0
        return ImageInfo(
            source=spec.source,
            classes=data.classes,
            contexts=contexts.names,
            synthetic_contexts=contexts.made,
            image_size=spec.image_size,
            channels=spec.channels,
            mean=tuple(float(x) for x in images.mean((0, 2, 3))),
            std=tuple(float(x) for x in images.std((0, 2, 3))),
        )

    def of(self, rows: pd.DataFrame, owner: str) -> Tensor:
        return torch.from_numpy(self._pixels(rows))

    def spare(self, rows: pd.DataFrame) -> Tensor:
        return torch.from_numpy(self._pixels(rows))

    def _pixels(self, rows: pd.DataFrame) -> Images:
        """What a device brings itself, its sensor has seen already."""
        pixels = np.stack(self.divided.take(rows))
        if self.divided.contexts.made:
            given = ~rows["sample_id"].str.startswith(own.PREFIX)
            for sensor in rows["context"].unique():
                mine = (given & (rows["context"] == sensor)).to_numpy()
                pixels[mine] = seen(pixels[mine], rows["sha256"].to_numpy()[mine], str(sensor))
        return pixels
