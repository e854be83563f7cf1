"""How much each head and each MLP neuron matters: first-order Taylor scores (Eq. 6-8)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbone.batches import device_of
from models.backbone.config import units_of
from models.backbone.family import Backbone
from models.backbone.units import outputs

Importance = dict[str, Tensor]
"""By kind of unit (``heads``, ``mlp_hidden``): ``(depth, units)``, all >= 0."""


def importance(
    backbone: Backbone, inputs: Tensor, labels: Tensor, batch_size: int = 128
) -> Importance:
    """|dF/dO * O| of every head and neuron (Eq. 8), averaged over the samples.

    O is a head's output before the projection (a neuron's activation before the second MLP
    layer); the product is summed over tokens (and a head's channels) before the absolute value,
    which is the change of a sample's loss when the head or neuron is removed, to first order.
    """
    config, read = backbone.config, outputs(units_of(backbone.config))
    found: dict[tuple[str, int], Tensor] = {}
    hooks = [
        block.get_submodule(unit.tensor.rpartition(".")[0]).register_forward_pre_hook(
            _keep(found, (kind, layer))
        )
        for layer, block in enumerate(backbone.blocks)
        for kind, unit in read.items()
    ]
    totals = {kind: torch.zeros(config.depth, getattr(config, kind)) for kind in read}
    place = device_of(backbone)
    backbone.eval()
    try:
        for x, y in zip(inputs.split(batch_size), labels.split(batch_size), strict=True):
            loss = F.cross_entropy(backbone(x.to(place)), y.to(place), reduction="sum")
            gradients = torch.autograd.grad(loss, list(found.values()))
            for ((kind, layer), output), gradient in zip(found.items(), gradients, strict=True):
                by_entry = (gradient * output).sum(1).detach().cpu()  # over tokens
                by_unit = by_entry.unflatten(1, (-1, read[kind].size)).sum(2)
                totals[kind][layer] += by_unit.abs().sum(0)
    finally:
        for hook in hooks:
            hook.remove()
    return {kind: total / len(inputs) for kind, total in totals.items()}


def _keep(
    found: dict[tuple[str, int], Tensor], name: tuple[str, int]
) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found[name] = inputs[0]

    return hook
