"""What a variant weighs: parameters, the paper's zeta, and floating-point operations."""

from __future__ import annotations

from torch import nn

from models.backbone.config import BackboneConfig


def parameter_count(module: nn.Module) -> int:
    """The true number of parameters of a module."""
    return sum(p.numel() for p in module.parameters())


def attention_parameters(config: BackboneConfig) -> int:
    """H of Eq. 3: the attention parameters of one layer."""
    inner = config.heads * config.head_dim
    qkv = 3 * inner * (config.dim + config.qkv_bias)
    return qkv + inner * config.dim + config.dim


def zeta(width: float, depth: int, full: BackboneConfig) -> float:
    """zeta of Eq. 3: d * w * (H + 2 * xi_h * xi_f), of the full-width layer. An approximation: it
    leaves out embeddings, norms, most biases and the header."""
    return depth * width * (attention_parameters(full) + 2 * full.dim * full.mlp_hidden)


def backbone_parameters(config: BackboneConfig) -> int:
    """The true number of parameters of a backbone of this shape, without its header."""
    patch = config.patch_size**2 * config.channels * config.dim
    tokens = config.grid**2 + 1
    norm = 2 * config.dim
    embedding = patch + (0 if config.pre_norm else config.dim)
    embedding += config.dim + tokens * config.dim + (norm if config.pre_norm else 0)
    mlp = 2 * config.dim * config.mlp_hidden + config.mlp_hidden + config.dim
    layer = attention_parameters(config) + mlp + 2 * norm
    return embedding + config.depth * layer + norm


def flops(config: BackboneConfig) -> int:
    """Floating-point operations of the backbone for one image (a multiply-add counts as 2)."""
    tokens = config.grid**2 + 1
    inner = config.heads * config.head_dim
    patch = config.grid**2 * config.patch_size**2 * config.channels * config.dim
    projections = tokens * 4 * config.dim * inner
    attention = 2 * tokens * tokens * inner
    mlp = 2 * tokens * config.dim * config.mlp_hidden
    return 2 * (patch + config.depth * (projections + attention + mlp))
