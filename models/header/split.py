"""Labelled features: what a header is trained on and scored on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.backbone.features import Features


@dataclass(frozen=True)
class Split:
    """Features ``(n, 2, 1 + positions, dim)`` and labels ``(n,)``; where some positions are
    padding, a mask ``(n, 1 + positions)`` that is true where they are real. Of whom has no sample
    of classes that it wants to be told apart too, these ``wanted`` ``(k,)``."""

    features: Tensor
    labels: Tensor
    mask: Tensor | None = None
    wanted: Tensor | None = None

    @classmethod
    def of(cls, features: Features, labels: Tensor, wanted: Tensor | None = None) -> Split:
        """What a backbone made of samples, and their labels."""
        return cls(features.tokens, labels, features.mask, wanted)

    @classmethod
    def read(cls, tensors: Mapping[str, Tensor], prefix: str) -> Split:
        """Inverse of :meth:`named`, also of what was :attr:`compact`: float32 and int64."""
        features, labels = tensors[f"{prefix}features"], tensors[f"{prefix}labels"]
        mask, wanted = (tensors.get(f"{prefix}{name}") for name in ("mask", "wanted"))
        return cls(features.float(), labels.long(), mask, wanted)

    def named(self, prefix: str) -> dict[str, Tensor]:
        """As it is kept and sent: ``<prefix>features``, ``<prefix>labels`` and, where there are
        some, ``<prefix>mask`` and ``<prefix>wanted``."""
        found = {name: getattr(self, name) for name in ("features", "labels", "mask", "wanted")}
        return {f"{prefix}{k}": tensor for k, tensor in found.items() if tensor is not None}

    @property
    def compact(self) -> Split:
        """In half precision, labels in 16 bits."""
        return replace(self, features=self.features.half(), labels=self.labels.to(torch.int16))

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What a header takes."""
        return (self.features,) if self.mask is None else (self.features, self.mask)

    def at(self, index: Tensor | slice) -> Split:
        """Some of the samples."""
        mask = None if self.mask is None else self.mask[index]
        return replace(self, features=self.features[index], labels=self.labels[index], mask=mask)

    def to(self, place: torch.device) -> Split:
        """The samples on a device."""
        mask = None if self.mask is None else self.mask.to(place)
        features, labels = self.features.to(place), self.labels.to(place)
        return replace(self, features=features, labels=labels, mask=mask)

    def chunks(self, size: int) -> Iterator[Split]:
        """All samples in order, ``size`` at a time."""
        for start in range(0, len(self.labels), size):
            yield self.at(slice(start, start + size))

    def join(self, other: Split | None) -> Split:
        """Both splits' samples, of whom this one is.

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
        features = torch.cat([self.features, other.features])
        labels = torch.cat([self.labels, other.labels])
        return replace(self, features=features, labels=labels, mask=mask)
