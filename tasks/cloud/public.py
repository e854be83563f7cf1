"""The public set: all the data that the cloud has."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from models.backbone.config import family_of
from models.backbone.family import Backbone, unchanged
from models.backbone.training import Examples
from tasks.data.modality import DataInfo
from tasks.data.samples import read_split
from tasks.run.store import Ref


@dataclass(frozen=True)
class Public:
    """The file of public samples, what is known of the data, and, for who trains on them, whether
    their like is made by mirroring (``flip``)."""

    samples: Ref
    info: DataInfo
    flip: bool = False

    def split(self, name: str) -> tuple[Tensor, Tensor]:
        """Standardised images and labels of ``train`` or ``val``; see :func:`read_split`."""
        return read_split(self.samples, name, self.info)

    def examples(self, vit: Backbone) -> Examples:
        """What such a model is trained on: the train split."""
        augment = family_of(vit.config).augment if self.flip else unchanged
        return Examples(*self.split("train"), augment)
