"""What a device says of its data instead of showing any: of what its header reads a mean of each
class, and one variance. Who sees alike can draw virtual samples from that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.header.split import Split
from models.refinement.basis import Basis, class_means, inputs_of
from models.refinement.exchange import Body, TensorSchema

LEAST = 3  # samples of a class; of fewer nothing is said
PRIOR = 8  # samples that the public variance counts as: what few own ones say is mostly that
COARSE = 2  # counts are told as powers of 2, in halves of one
FINE = 8  # means in eighths of a public standard deviation, variances as powers of 2 in eighths
MOST = 127  # of 8 bits: a mean is told up to 16 standard deviations from the public one

_MANY = 1 << 22
SCHEMA = {
    "labels": TensorSchema(torch.int16, 1, 1 << 14, low=0),
    "counts": TensorSchema(torch.uint8, 1, 1 << 14, low=3, high=COARSE * 20),
    "means": TensorSchema(torch.int8, 2, _MANY, low=-MOST, high=MOST),
    "variance": TensorSchema(torch.int8, 1, _MANY, low=-MOST, high=MOST),
}
"""How statistics travel."""


@dataclass(frozen=True)
class Statistics:
    """A device's data by class, in the coordinates of a :class:`Basis`.

    Attributes:
        labels: ascending ``(classes,)``.
        counts: of samples ``(classes,)``, to the nearest power of the square root of 2.
        means: ``(classes, rank)``.
        variance: of samples around their class's mean, all classes together ``(rank,)``.
    """

    labels: Tensor
    counts: Tensor
    means: Tensor
    variance: Tensor

    @classmethod
    def from_body(cls, body: Body) -> Statistics:
        """Inverse of :meth:`body`, but for its rounding."""
        return cls(
            body["labels"].long(),
            2 ** (body["counts"] / COARSE),
            body["means"] / FINE,
            2 ** (body["variance"] / FINE),
        )

    def body(self) -> Body:
        """As it is sent: a byte a direction and 3 more for each class, a byte a direction once."""
        return {
            "labels": self.labels.to(torch.int16),
            "counts": _coarse(self.counts),
            "means": _fine(self.means),
            "variance": _fine(self.variance.log2()),
        }

    def at(self, which: Tensor) -> Statistics:
        """Of some of the classes."""
        return replace(
            self, labels=self.labels[which], counts=self.counts[which], means=self.means[which]
        )

    def leading(self, rank: int) -> Statistics:
        """Along the first directions only."""
        return replace(self, means=self.means[:, :rank], variance=self.variance[:rank])


def described(data: Split, basis: Basis) -> tuple[Statistics, list[int]]:
    """The statistics of a device's samples, and the classes of which it says nothing because it has
    fewer than ``LEAST`` samples.

    The variance is drawn to the public one, which is 1, as if ``PRIOR`` samples more had told that.
    """
    labels, counts = data.labels.unique(return_counts=True)
    told = counts >= LEAST
    known = data.at(torch.isin(data.labels, labels[told]))
    coordinates = basis.coordinates(known)
    means = class_means(coordinates, known.labels)
    place = torch.searchsorted(labels[told], known.labels)
    squares = (coordinates - means[place]).pow(2).sum(0)
    variance = (squares + PRIOR) / (len(place) - len(means) + PRIOR)
    found = Statistics(
        labels[told],
        2 ** (_coarse(counts[told]) / COARSE),
        means,
        variance,
    )
    return found, labels[~told].tolist()


def check(body: Body, classes: int, rank: int) -> str | None:
    """Why received statistics cannot be used, or None if they can: that they are what
    :data:`SCHEMA` says is taken for granted."""
    labels, shape = body["labels"], (len(body["labels"]), rank)
    if len(labels) and (labels.max() >= classes or (labels.diff() <= 0).any()):
        return f"names classes {labels.tolist()}, not ascending ones of {classes}"
    if body["counts"].shape != shape[:1]:
        return f"has {len(body['counts'])} counts for {len(labels)} classes"
    for name, expected in (("means", shape), ("variance", shape[1:])):
        if body[name].shape != expected:
            return f"has {name} of shape {tuple(body[name].shape)}, expected {expected}"
    return None


def draw(told: Sequence[Statistics], basis: Basis, own: Split, stream: torch.Generator) -> Split:
    """Virtual samples of peers' classes, as a listener with ``own`` samples would see them.

    Each is a peer's mean of its class, noise of the peer's variance and the public correlation, and
    of what no direction holds the mean of the listener's own classes and the public spread. They
    are as many as the peers say that they have; of a class that the listener lacks, which is to
    count like the others, as many as come together of its largest one.
    """
    if not told:
        return own.at(slice(0))
    counts = _counts(told, own.labels)
    labels, means, variances = (
        torch.cat(parts).repeat_interleave(counts, 0)
        for parts in (
            [each.labels for each in told],
            [each.means for each in told],
            [each.variance.expand_as(each.means) for each in told],
        )
    )
    noise = torch.randn(means.shape, generator=stream) @ basis.root.T
    beside = torch.randn(len(means), len(basis.mean), generator=stream) * basis.spread
    beside += class_means(inputs_of(own, basis.reads), own.labels).mean(0) - basis.mean
    shape = tuple(own.features.shape[1:3])
    features = basis.tokens(means + variances.sqrt() * noise, beside, shape)
    mask = torch.ones(features.shape[0], features.shape[2], dtype=torch.bool)
    return Split(features, labels, None if own.mask is None else mask)


def _counts(told: Sequence[Statistics], own: Tensor) -> Tensor:
    """How many samples to draw of each class of each peer, in their order."""
    labels = torch.cat([each.labels for each in told])
    counts = torch.cat([each.counts for each in told]).round().long()
    together = torch.bincount(torch.cat([own, labels.repeat_interleave(counts)]))
    lacking = ~torch.isin(labels, own)
    filled = (counts * together.max() / together[labels]).round().long()
    return torch.where(lacking, filled, counts)


def _coarse(counts: Tensor) -> Tensor:
    return (COARSE * counts.float().log2()).round().to(torch.uint8)


def _fine(values: Tensor) -> Tensor:
    return (FINE * values).round().clamp(-MOST, MOST).to(torch.int8)
