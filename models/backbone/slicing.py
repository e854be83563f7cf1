"""Cutting a variant out of the elastic model as a real, smaller module."""

from __future__ import annotations

from models.backbone.config import ViT, config_of, restore
from models.backbone.elastic import layers_of, variant_config


def slice_variant(vit: ViT, width: float, depth: int, strategy: str = "first") -> ViT:
    """A plain timm VisionTransformer with the first heads and neurons of the chosen layers.

    It gives the same logits as ``vit`` with the removed heads and neurons masked and the other
    layers skipped.
    """
    full = config_of(vit)
    config = variant_config(full, width, depth)
    state = {k: v for k, v in vit.state_dict().items() if not k.startswith("blocks.")}
    heads, neurons = config.heads, config.mlp_hidden
    qkv = (3, full.heads, full.head_dim)
    for new, old in enumerate(layers_of(depth, full.depth, strategy)):
        for name, value in vit.blocks[old].state_dict().items():
            match name:
                case "attn.qkv.weight" | "attn.qkv.bias":
                    value = value.unflatten(0, qkv)[:, :heads].flatten(0, 2)
                case "attn.proj.weight":
                    value = value[:, : heads * full.head_dim]
                case "mlp.fc1.weight" | "mlp.fc1.bias":
                    value = value[:neurons]
                case "mlp.fc2.weight":
                    value = value[:, :neurons]
            state[f"blocks.{new}.{name}"] = value
    return restore(config, state)
