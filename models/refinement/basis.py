"""In what a device describes its data: a few directions of what its header reads, from public
data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from models.header.build import build_header
from models.header.config import HeaderConfig
from models.header.split import Split

RANK = 256  # more gain little where a header reads maps, and nothing where it reads [CLS]
PROBES = 64  # random inputs: a maximum reads one position of a window in each
SMALLEST = 1e-6  # of a direction's variance: what varies within no class is no unit to measure in


@dataclass(frozen=True)
class Basis:
    """Coordinates of what a header reads, and how public data vary in them.

    Coordinates are along orthonormal directions, from the public mean, and in units of the
    standard deviation of public samples of one class.

    Attributes:
        reads: which tokens the header reads ``(2, 1 + positions)``; ``inputs`` are theirs.
        mean: of public data ``(inputs,)``.
        directions: orthonormal rows ``(rank, inputs)``.
        spread: standard deviation of what the directions leave out ``(inputs,)``.
        correlation: of the coordinates within a class ``(rank, rank)``.
        variance: of public samples along the directions, within a class ``(rank,)``.
    """

    reads: Tensor
    mean: Tensor
    directions: Tensor
    spread: Tensor
    correlation: Tensor
    variance: Tensor

    @classmethod
    def read(cls, tensors: Mapping[str, Tensor], prefix: str) -> Basis:
        """Inverse of :meth:`named`, also of what was :attr:`compact`."""
        found = {field.name: tensors[f"{prefix}{field.name}"] for field in fields(cls)}
        return cls(**{n: t if t.dtype == torch.bool else t.float() for n, t in found.items()})

    def named(self, prefix: str) -> dict[str, Tensor]:
        """As it is kept and sent, by attribute."""
        return {f"{prefix}{field.name}": getattr(self, field.name) for field in fields(self)}

    @property
    def compact(self) -> Basis:
        """With its directions, nearly all of its bytes, in half precision."""
        return replace(self, directions=self.directions.half())

    @property
    def rank(self) -> int:
        """How many directions there are."""
        return len(self.directions)

    @property
    def dim(self) -> int:
        """Of a token."""
        return len(self.mean) // int(self.reads.sum())

    @cached_property
    def root(self) -> Tensor:
        """A square root of the correlation ``(rank, rank)``, also where rounding or few samples
        left it singular."""
        values, vectors = torch.linalg.eigh(self.correlation)
        return vectors * values.clamp_min(0).sqrt()

    def coordinates(self, data: Split) -> Tensor:
        """Of samples ``(n, rank)``."""
        away = inputs_of(data, self.reads) - self.mean
        return away @ self.directions.T / self.variance.sqrt()

    def tokens(
        self, coordinates: Tensor, beside: Tensor, shape: tuple[int, ...] | None = None
    ) -> Tensor:
        """Features ``(n, 2, 1 + positions, dim)`` at coordinates ``(n, rank)``.

        Args:
            beside: how far they are from the mean ``(n, inputs)`` outside of the directions; what
                lies along them after all is not taken.
            shape: of fewer layers and positions, which hold all that is read.
        """
        along = coordinates * self.variance.sqrt() - beside @ self.directions.T
        inputs = self.mean + along @ self.directions + beside
        reads = _within(self.reads, shape or tuple(self.reads.shape))
        found = torch.zeros(len(inputs), *reads.shape, self.dim)
        found[:, reads] = inputs.unflatten(1, (-1, self.dim))
        return found


def tokens_read(config: HeaderConfig) -> Tensor:
    """Which tokens ``(2, 1 + positions)`` the output of a header of this configuration depends on,
    whatever its kind: those with a gradient, with positive weights so that nothing cancels."""
    stream = torch.Generator().manual_seed(0)
    header = build_header(config).double()
    for parameter in header.parameters():
        scale = 1 / max(1, parameter[0].numel())  # sums stay near 1, so that no unit saturates
        nn.init.uniform_(parameter, 0, scale, generator=stream)
    shape = (PROBES, 2, 1 + math.prod(config.shape), config.dim)
    features = torch.rand(shape, generator=stream, dtype=torch.double).requires_grad_()
    output = header(features)
    weights = torch.rand(output.shape, generator=stream, dtype=torch.double)
    [gradient] = torch.autograd.grad((output * weights).sum(), features, materialize_grads=True)
    return (gradient != 0).any(-1).any(0)


def canonical(data: Split) -> Split:
    """Samples without padding: padded positions hold the mean of the sample's real ones ([CLS], or
    what stands in its place, aside), and the mask says that all are real.

    A mean over the positions stays exactly what it was, and so does what [CLS] says. What looks at
    neighbours does not: a convolution sees the mean where it saw zeros, from the last real position
    on; nor does what counts positions, as a token mixer does.
    """
    if data.mask is None:
        return data
    mask = data.mask[:, None, :, None]
    real = mask[:, :, 1:]
    kept = data.features[:, :, 1:].masked_fill(~real, 0)
    mean = kept.sum(2, keepdim=True) / real.sum(2, keepdim=True).clamp_min(1)
    return Split(torch.where(mask, data.features, mean), data.labels, torch.ones_like(data.mask))


def inputs_of(data: Split, reads: Tensor) -> Tensor:
    """What a header reads of samples ``(n, inputs)``, in :func:`canonical` form. They may be of
    fewer layers and positions than ``reads`` tells of, but for those that are read."""
    reads = _within(reads, tuple(data.features.shape[1:3]))
    return canonical(data).features[:, reads].flatten(1).float()


def _within(reads: Tensor, shape: tuple[int, ...]) -> Tensor:
    layers, positions = shape
    found = reads[:layers, :positions]
    if found.sum() < reads.sum():
        raise ValueError(f"features of {layers} x {positions} tokens lack some that are read")
    return found


def fit_basis(public: Split, reads: Tensor, rank: int = RANK) -> Basis:
    """The ``rank`` principal directions of what a header reads of public data, or as many as they
    have.

    Args:
        reads: ``(2, 1 + positions)``, as :func:`tokens_read` finds them.

    Raises:
        ValueError: fewer than two samples, all samples alike, or a header that reads nothing.
    """
    inputs = inputs_of(public, reads)
    if len(inputs) < 2 or not inputs.numel():
        raise ValueError(f"{len(inputs)} public samples of {inputs.shape[1]} inputs have no basis")
    mean = inputs.mean(0)
    away = (inputs - mean).double()
    directions = _principal(away, rank)
    along = away @ directions.T
    classes, place = public.labels.unique(return_inverse=True)
    within = along - class_means(along, public.labels)[place]
    freedom = max(1, len(inputs) - len(classes))
    total = along.pow(2).sum(0)
    variance = torch.maximum(within.pow(2).sum(0), SMALLEST * total) / freedom
    return Basis(
        reads,
        mean,
        directions.float(),
        (away - along @ directions).pow(2).mean(0).sqrt().float(),
        _correlation(within).float(),
        variance.float(),
    )


def _principal(away: Tensor, rank: int) -> Tensor:
    """Orthonormal rows ``(rank or fewer, inputs)``, from the smaller of the two Gram matrices."""
    wide = away.shape[0] < away.shape[1]
    values, vectors = torch.linalg.eigh(away @ away.T if wide else away.T @ away)
    found = values.flip(0)[:rank] > SMALLEST * values[-1]
    if not values[-1] > 0:
        raise ValueError("all public samples are alike to this header: they have no basis")
    largest = vectors.flip(1)[:, :rank][:, found]
    if not wide:
        return largest.T
    return nn.functional.normalize(largest.T @ away, dim=1)


def class_means(values: Tensor, labels: Tensor) -> Tensor:
    """``(classes, features)`` of values ``(n, features)``, in the classes' order."""
    member = (labels.unique()[:, None] == labels).to(values.dtype)
    return member @ values / member.sum(1, keepdim=True)


def _correlation(centred: Tensor) -> Tensor:
    scale = centred.pow(2).sum(0).sqrt()
    found = centred / torch.where(scale > 0, scale, 1)
    return (found.T @ found).fill_diagonal_(1)
