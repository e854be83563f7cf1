"""What a variant weighs: parameters, the paper's zeta, and floating-point operations."""

from __future__ import annotations

from functools import cache

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from models.backbone.config import on_meta, units_of
from models.backbone.family import BackboneConfig


def parameter_count(module: nn.Module) -> int:
    """The true number of parameters of a module."""
    return sum(p.numel() for p in module.parameters())


@cache
def attention_parameters(config: BackboneConfig) -> int:
    """H of Eq. 3: the attention parameters of one layer, which are those of the linear layers that
    hold heads."""
    layer = on_meta(config).blocks[0]
    linear = {u.tensor.rpartition(".")[0] for u in units_of(config) if u.kind == "heads"}
    return sum(parameter_count(layer.get_submodule(name)) for name in linear)


def zeta(width: float, depth: int, full: BackboneConfig) -> float:
    """zeta of Eq. 3: d * w * (H + 2 * xi_h * xi_f), of the full-width layer. An approximation: it
    leaves out embeddings, norms, most biases and the header."""
    return depth * width * (attention_parameters(full) + 2 * full.dim * full.mlp_hidden)


@cache
def backbone_parameters(config: BackboneConfig) -> int:
    """The true number of parameters of a backbone of this configuration, without its header."""
    backbone = on_meta(config)
    return parameter_count(backbone) - parameter_count(backbone.head)


@cache
def flops(config: BackboneConfig) -> int:
    """Floating-point operations of the backbone for one input (a multiply-add counts as 2), without
    its header: matrix products and convolutions, as torch counts them."""
    backbone = on_meta(config).eval()  # a batch of one has no variance to learn
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        backbone.forward_features(backbone.sample())
    return counter.get_total_flops()
