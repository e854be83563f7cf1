"""How much each head and each MLP neuron matters: first-order Taylor scores (Eq. 6-8)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbone.config import ViT
from models.backbone.training import device_of


@dataclass(frozen=True)
class Importance:
    """``heads (depth, heads)`` and ``neurons (depth, mlp_hidden)``, both >= 0."""

    heads: Tensor
    neurons: Tensor


def importance(vit: ViT, images: Tensor, labels: Tensor, batch_size: int = 128) -> Importance:
    """|dF/dO * O| of every head and neuron (Eq. 8), averaged over the samples.

    O is a head's output before the projection (a neuron's activation before the second MLP
    layer); the product is summed over tokens (and a head's channels) before the absolute value,
    which is the change of a sample's loss when the head or neuron is removed, to first order.
    """
    outputs: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_pre_hook(_keep(outputs, f"{kind}{layer}"))
        for layer, block in enumerate(vit.blocks)
        for kind, module in (("heads", block.attn.proj), ("neurons", block.mlp.fc2))
    ]
    depth, heads = len(vit.blocks), vit.blocks[0].attn.num_heads
    totals = Importance(
        torch.zeros(depth, heads), torch.zeros(depth, vit.blocks[0].mlp.fc2.in_features)
    )
    place = device_of(vit)
    vit.eval()
    try:
        for x, y in zip(images.split(batch_size), labels.split(batch_size), strict=True):
            loss = F.cross_entropy(vit(x.to(place)), y.to(place), reduction="sum")
            names = list(outputs)
            gradients = torch.autograd.grad(loss, [outputs[name] for name in names])
            products = {
                name: (gradient * outputs[name]).sum(1).detach().cpu()  # over tokens
                for name, gradient in zip(names, gradients, strict=True)
            }
            for layer in range(depth):
                by_head = products[f"heads{layer}"].unflatten(1, (heads, -1)).sum(2)
                totals.heads[layer] += by_head.abs().sum(0)
                totals.neurons[layer] += products[f"neurons{layer}"].abs().sum(0)
    finally:
        for hook in hooks:
            hook.remove()
    return Importance(totals.heads / len(images), totals.neurons / len(images))


def _keep(outputs: dict[str, Tensor], name: str):  # type: ignore[no-untyped-def]
    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        outputs[name] = inputs[0]

    return hook
