"""What a device says of its data instead of showing any: per class a count, a mean and a variance
of what its header reads. Who gets that can draw virtual samples like its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.header.split import Split
from models.refinement.basis import Basis
from models.refinement.exchange import Body, TensorSchema

LEAST = 3  # samples of a class; of fewer nothing is said
PRIOR = 8  # samples that what is known before counts as: a variance of few is mostly that
FARTHEST = 64.0  # a mean from that of public data, in standard deviations within a class
LOW, HIGH = 2.0**-12, 2.0**12  # variances, public ones being 1: numbers of half precision
COARSE = 2  # counts are told as powers of 2, in halves of one

_MANY = 1 << 22
SCHEMA = {
    "labels": TensorSchema(torch.int16, 1, 1 << 14, low=0),
    "counts": TensorSchema(torch.uint8, 1, 1 << 14, low=3, high=COARSE * 20),
    "means": TensorSchema(torch.float16, 2, _MANY, low=-FARTHEST, high=FARTHEST),
    "variances": TensorSchema(torch.float16, 2, _MANY, low=LOW, high=HIGH),
}
"""How statistics travel."""


@dataclass(frozen=True)
class Statistics:
    """A device's data by class, in the coordinates of a :class:`Basis`.

    Attributes:
        labels: ascending ``(classes,)``.
        counts: of samples ``(classes,)``, to the nearest power of the square root of 2.
        means, variances: ``(classes, rank)``.
    """

    labels: Tensor
    counts: Tensor
    means: Tensor
    variances: Tensor

    @classmethod
    def from_body(cls, body: Body) -> Statistics:
        """Inverse of :meth:`body`, but for what half precision rounds."""
        return cls(
            body["labels"].long(),
            2 ** (body["counts"].float() / COARSE),
            body["means"].float(),
            body["variances"].float(),
        )

    def body(self) -> Body:
        """As it is sent: 4 bytes a number of rank and 3 more, for each class."""
        return {
            "labels": self.labels.to(torch.int16),
            "counts": _coarse(self.counts),
            "means": self.means.half(),
            "variances": self.variances.half(),
        }

    def at(self, which: Tensor) -> Statistics:
        """Of some of the classes."""
        return Statistics(
            self.labels[which], self.counts[which], self.means[which], self.variances[which]
        )


def described(data: Split, basis: Basis) -> tuple[Statistics, list[int]]:
    """The statistics of a device's samples, and the classes of which it says nothing because it has
    fewer than ``LEAST`` samples."""
    labels, place, counts = data.labels.unique(return_inverse=True, return_counts=True)
    member = torch.nn.functional.one_hot(place, len(labels)).T.float()
    coordinates = basis.coordinates(data)
    means = member @ coordinates / counts[:, None]
    squares = member @ (coordinates - means[place]).pow(2)
    told = counts >= LEAST
    found = Statistics(
        labels[told],
        2 ** (_coarse(counts[told]).float() / COARSE),
        means[told].clamp(-FARTHEST, FARTHEST),
        shrunk(squares[told], counts[told]).clamp(LOW, HIGH),
    )
    return found, labels[~told].tolist()


def shrunk(squares: Tensor, counts: Tensor) -> Tensor:
    """Variances ``(classes, rank)`` from sums of squared deviations and numbers of samples.

    Each is drawn to the one of all classes together, as if ``PRIOR`` samples more had told that,
    and this in the same way to the public one, which is 1.
    """
    freedom = (counts - 1)[:, None]
    pooled = (squares.sum(0) + PRIOR) / (freedom.sum() + PRIOR)
    return (squares + PRIOR * pooled) / (freedom + PRIOR)


def check(body: Body, classes: int, rank: int) -> str | None:
    """Why received statistics cannot be used, or None if they can: that they are what
    :data:`SCHEMA` says is taken for granted."""
    labels, shape = body["labels"], (len(body["labels"]), rank)
    if len(labels) and (labels.max() >= classes or (labels.diff() <= 0).any()):
        return f"names classes {labels.tolist()}, not ascending ones of {classes}"
    if body["counts"].shape != shape[:1]:
        return f"has {len(body['counts'])} counts for {len(labels)} classes"
    for name in ("means", "variances"):
        if body[name].shape != shape:
            return f"has {name} {tuple(body[name].shape)}, expected {shape}"
    return None


def draw(told: Sequence[Statistics], basis: Basis, stream: torch.Generator) -> Split:
    """Virtual samples, as many as each device says that it has of each class: its mean, noise of
    its variances and the public correlation, and the public spread of what no direction holds."""
    counts = torch.cat([each.counts for each in told]).round().long()
    labels, means, variances = (
        torch.cat([getattr(each, name) for each in told]).repeat_interleave(counts, 0)
        for name in ("labels", "means", "variances")
    )
    noise = torch.randn(means.shape, generator=stream) @ basis.root.T
    beside = torch.randn(len(means), len(basis.mean), generator=stream)
    features = basis.tokens(means + variances.sqrt() * noise, beside)
    mask = torch.ones(features.shape[0], features.shape[2], dtype=torch.bool)
    return Split(features, labels, mask if basis.padded else None)


def _coarse(counts: Tensor) -> Tensor:
    return (COARSE * counts.float().log2()).round().to(torch.uint8)
