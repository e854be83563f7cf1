"""Labelled features: what a header is trained on and scored on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """Features ``(n, 2, 1 + positions, dim)`` and labels ``(n,)``; where some positions are
    padding, a mask ``(n, 1 + positions)`` that is true where they are real."""

    features: Tensor
    labels: Tensor
    mask: Tensor | None = None

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
