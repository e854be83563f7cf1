"""Whether a sample was among those that a message is made of: evidence for it, of which
:func:`models.privacy.scores.weighed` makes a score. Classes do not give it away: evidence is what
goes beyond the sample's class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from models.header.split import Split
from models.refinement.basis import class_means
from models.refinement.importance import layer_names, neuron_importance

SHRINKAGE = 0.05  # of a covariance, to a multiple of the identity


@dataclass(frozen=True)
class Reference:
    """Where an attacker expects samples of each class to lie, from public data as the device's
    context sees them.

    Attributes:
        means: ``(classes, features)``.
        precision: the inverse of the covariance within a class ``(features, features)``.
    """

    means: Tensor
    precision: Tensor

    @classmethod
    def of(cls, values: Tensor, labels: Tensor) -> Reference:
        """Of samples ``(n, features)`` of all classes."""
        means = class_means(values, labels).double()
        within = values.double() - means[labels]
        covariance = within.T @ within / len(within)
        usual = covariance.diagonal().mean() * torch.eye(len(covariance), dtype=torch.double)
        return cls(means, torch.linalg.inv((1 - SHRINKAGE) * covariance + SHRINKAGE * usual))

    def drawn_to(self, values: Tensor, labels: Tensor, residual: Tensor) -> Tensor:
        """How far samples lie from their class's mean in the direction in which what was told does
        ``(n,)``: (x - m)^T S^-1 r, by which one of a mean's samples is best told from others where
        both are normal.

        Args:
            residual: what was told less what was expected, ``(features,)`` or one a sample.
        """
        away = values.double() - self.means[labels]
        return ((away @ self.precision) * residual.double()).sum(-1)

    def classes_of(self, values: Tensor) -> Tensor:
        """How likely samples ``(n, features)`` are of each class ``(n, classes)``, where all are
        normal and as frequent."""
        away = values.double()[:, None] - self.means
        return (-torch.einsum("ncf,fg,ncg->nc", away, self.precision, away) / 2).softmax(1)

    def mixed(self, mean: Tensor) -> Tensor:
        """The mix of classes' means that comes nearest to a mean of all ``(features,)``."""
        from scipy.optimize import nnls

        shares, _ = nnls(self.means.T.numpy(), mean.double().numpy())
        return torch.from_numpy(shares) @ self.means


def of_points(points: Tensor, values: Tensor, labels: Tensor, reference: Reference) -> Tensor:
    """Evidence ``(n, 3)`` from a sketch ``(rows, features)`` for standardised features: drawn to
    its mean, near to one of its points, and in each feature near to one of its values."""
    mean = points.float().mean(0)
    drawn = reference.drawn_to(values, labels, mean - reference.mixed(mean))
    near = torch.cdist(values.float(), points.float(), p=1).min(1).values
    ordered = points.float().sort(0).values.T.contiguous()
    at = torch.searchsorted(ordered, values.float().T.contiguous()).clamp(1, ordered.shape[1] - 1)
    beside = torch.stack([ordered.gather(1, at - 1), ordered.gather(1, at)])
    each = (beside - values.float().T).abs().min(0).values.mean(0)
    return torch.stack([drawn, -near.double(), -each.double()], 1)


def of_means(told: Tensor, coordinates: Tensor, labels: Tensor, reference: Reference) -> Tensor:
    """Evidence ``(n, 1)`` from classes' means ``(classes, rank)``, NaN where nothing was said."""
    residual = (told.double() - reference.means)[labels].nan_to_num(0)
    return reference.drawn_to(coordinates, labels, residual)[:, None]


@torch.no_grad()
def of_headers(before: nn.Module, after: nn.Module, data: Split) -> Tensor:
    """Evidence ``(n, 2)`` from a header that learned from a device's samples: how far the loss of
    a sample fell, and how low it is."""
    first, then = (
        F.cross_entropy(header(*data.inputs), data.labels, reduction="none")
        for header in (before, after)
    )
    return torch.stack([first - then, -then], 1)


def of_importance(told: Tensor, usual: Tensor, header: nn.Module, data: Split) -> Tensor:
    """Evidence ``(n, 1)`` from an importance set ``(neurons,)``: how the sample's own (Eq. 16-18
    under the header that all received) agrees with what is unusual in it.

    Args:
        usual: the mean of shadows' sets.
    """
    own = importance_of_each(header, data)
    return F.cosine_similarity(own - own.mean(0), (told - usual)[None], dim=1)[:, None].double()


def importance_of_each(header: nn.Module, data: Split) -> Tensor:
    """Each sample's own shares of importance ``(n, neurons)``."""
    weights = {name: p.detach() for name, p in header.named_parameters()}
    buffers = dict(header.named_buffers())

    def loss(values: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(header, (values, buffers), (x[None],)), y[None])

    each = vmap(grad(loss), in_dims=(None, 0, 0))
    layers, found = layer_names(header), []
    for chunk in data.chunks(64):
        sets = neuron_importance(weights, each(weights, chunk.features, chunk.labels), layers)
        found.append(sets / sets.sum(-1, keepdim=True).clamp_min(1e-12))
    return torch.cat(found)
