"""By what a device chooses the neurons that it discards: the registry of rankings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.answers import restricted
from models.header.build import neurons, prunable_layers
from models.header.split import Split
from models.refinement.importance import layer_names, neuron_importance, normalised


@dataclass(frozen=True)
class Ranked:
    """What a ranking may look at: a trained header at full shape, the samples that it learned from
    and the classes that it was told them by (None: all), the importance set ``(neurons,)`` that its
    training accumulated (Eq. 18), and a seed of its own."""

    header: nn.Module
    data: Split
    answers: Tensor | None
    importance: Tensor
    seed: int


Ranking = Callable[[Ranked], Tensor]
"""-> how much each neuron matters ``(neurons,)``, none negative: the least go first."""


def by_importance(given: Ranked) -> Tensor:
    """The paper's: what training accumulated."""
    return given.importance


def by_magnitude(given: Ranked) -> Tensor:
    """The norm of a neuron's weights and bias over the root of their number."""
    parts = []
    for _, layer in prunable_layers(given.header):
        values = torch.cat([layer.weight.flatten(1), layer.bias[:, None]], dim=1)
        parts.append(values.detach().pow(2).mean(1).sqrt())
    return torch.cat(parts) if parts else torch.zeros(0)


def by_chance(given: Ranked) -> Tensor:
    """Any."""
    stream = torch.Generator().manual_seed(given.seed)
    return torch.rand(sum(neurons(given.header).values()), generator=stream)


def by_first_order(given: Ranked) -> Tensor:
    """Eq. 17 of the header as it is now, on all its samples at once: nothing accumulated."""
    parameters = dict(given.header.named_parameters())
    logits = restricted(given.header(*given.data.inputs), given.answers)
    loss = F.cross_entropy(logits, given.data.labels)
    found = torch.autograd.grad(loss, list(parameters.values()), materialize_grads=True)
    values = {name: p.detach() for name, p in parameters.items()}
    layers = layer_names(given.header)
    if not layers:
        return torch.zeros(0)
    gradients = dict(zip(parameters, found, strict=True))
    return normalised(neuron_importance(values, gradients, layers))


RANKINGS: dict[str, Ranking] = {
    "importance": by_importance,
    "magnitude": by_magnitude,
    "random": by_chance,
    "first-order": by_first_order,
}
