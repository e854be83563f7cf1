"""The public set: all the data that the cloud has."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tasks.data.modality import DataInfo
from tasks.data.samples import read_split
from tasks.run.store import Ref


@dataclass(frozen=True)
class Public:
    """The file of public samples, and what is known of the data."""

    samples: Ref
    info: DataInfo

    def split(self, name: str) -> tuple[Tensor, Tensor]:
        """Standardised images and labels of ``train`` or ``val``; see :func:`read_split`."""
        return read_split(self.samples, name, self.info)
