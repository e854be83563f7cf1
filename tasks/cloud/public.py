"""The public set: all the data that the cloud has."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from models.backbone.config import family_of
from models.backbone.family import Backbone, unchanged
from models.backbone.training import Examples
from tasks.data.modality import DataInfo
from tasks.data.samples import PARALLEL, read_split
from tasks.run.store import Ref, read_tensors


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

    def first(self, samples: int) -> tuple[Tensor, Tensor]:
        """The first samples of the train split."""
        inputs, labels = self.split("train")
        return inputs[:samples], labels[:samples]

    def examples(self, vit: Backbone) -> Examples:
        """What such a model is trained on: the train split."""
        augment = family_of(vit.config).augment if self.flip else unchanged
        return Examples(*self.split("train"), augment, self.parallel())

    def parallel(self) -> Tensor | None:
        """Of texts, those of the train split in the language that others are translations of; None
        where there is none."""
        raw = read_tensors(self.samples)[0].get(PARALLEL)
        return None if raw is None else self.info.inputs(raw)
