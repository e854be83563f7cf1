"""Labelled features: what a header is trained on and scored on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from models.backbone.features import Features


@dataclass(frozen=True)
class Split:
    """Features ``(n, 2, 1 + positions, dim)`` and labels ``(n,)``; where some positions are
    padding, a mask ``(n, 1 + positions)`` that is true where they are real."""

    features: Tensor
    labels: Tensor
    mask: Tensor | None = None

    @classmethod
    def of(cls, features: Features, labels: Tensor) -> Split:
        """What a backbone made of samples, and their labels."""
        return cls(features.tokens, labels, features.mask)

    @classmethod
    def read(cls, tensors: Mapping[str, Tensor], prefix: str) -> Split:
        """Inverse of :meth:`named`, also of what was :attr:`compact`: float32 and int64."""
        features, labels = tensors[f"{prefix}features"], tensors[f"{prefix}labels"]
        return cls(features.float(), labels.long(), tensors.get(f"{prefix}mask"))

    def named(self, prefix: str) -> dict[str, Tensor]:
        """As it is kept and sent: ``<prefix>features``, ``<prefix>labels`` and, where there is
        padding, ``<prefix>mask``."""
        found = {f"{prefix}features": self.features, f"{prefix}labels": self.labels}
        return found if self.mask is None else {**found, f"{prefix}mask": self.mask}

    @property
    def compact(self) -> Split:
        """In half precision, labels in 16 bits."""
        return Split(self.features.half(), self.labels.to(torch.int16), self.mask)

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What a header takes."""
        return (self.features,) if self.mask is None else (self.features, self.mask)

    def at(self, index: Tensor | slice) -> Split:
        """Some of the samples."""
        mask = None if self.mask is None else self.mask[index]
        return Split(self.features[index], self.labels[index], mask)

    def to(self, place: torch.device) -> Split:
        """The samples on a device."""
        mask = None if self.mask is None else self.mask.to(place)
        return Split(self.features.to(place), self.labels.to(place), mask)

    def chunks(self, size: int) -> Iterator[Split]:
        """All samples in order, ``size`` at a time."""
        for start in range(0, len(self.labels), size):
            yield self.at(slice(start, start + size))

    def join(self, other: Split | None) -> Split:
        """Both splits' samples.

        Raises:
            ValueError: one has a mask and the other has none.
        """
        if other is None:
            return self
        if (self.mask is None) != (other.mask is None):
            raise ValueError("one split has a mask and the other has none")
        mask = None
        if self.mask is not None and other.mask is not None:
            mask = torch.cat([self.mask, other.mask])
        return Split(
            torch.cat([self.features, other.features]),
            torch.cat([self.labels, other.labels]),
            mask,
        )
