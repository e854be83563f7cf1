"""How much each header neuron matters to a device (Eq. 16-18)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from models.header.build import prunable_layers


def neuron_importance(
    weights: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor],
    layers: Sequence[str],
    joint: str = "group",
) -> Tensor:
    """Joint importance of every neuron's parameters, ``(..., neurons)`` in the layers' order.

    Eq. 17 gives (g v)^2 for one parameter. ``group`` squares the sum of g v over the neuron's
    weights and bias: the first-order change of the loss when the whole neuron goes. ``sum`` adds
    the parameters' own (g v)^2, which favours neurons with many parameters.

    Args:
        weights, gradients: by parameter name; ``(out, in, ...)`` and ``(out,)`` behind any leading
            dimensions that all share (one a device, in the batched step).
        layers: names of the prunable layers.

    Raises:
        ValueError: unknown ``joint``.
    """
    if joint not in ("group", "sum"):
        raise ValueError(f"unknown joint importance {joint!r}: choose group or sum")
    parts = []
    for name in layers:
        of_bias = weights[f"{name}.bias"] * gradients[f"{name}.bias"]
        of_weight = (weights[f"{name}.weight"] * gradients[f"{name}.weight"]).flatten(of_bias.dim())
        if joint == "group":
            parts.append((of_weight.sum(-1) + of_bias).pow(2))
        else:
            parts.append(of_weight.pow(2).sum(-1) + of_bias.pow(2))
    return torch.cat(parts, dim=-1)


def layer_names(header: nn.Module) -> list[str]:
    """The prunable layers of a header, in the order of its importance set."""
    return [name for name, _ in prunable_layers(header)]


def normalised(sets: Tensor) -> Tensor:
    """Importance sets ``(..., neurons)`` scaled to sum 1, so that devices with larger losses do
    not drown the others; an all-zero set stays zero."""
    total = sets.sum(-1, keepdim=True)
    return torch.where(total > 0, sets / total.clamp_min(torch.finfo(sets.dtype).tiny), sets)
