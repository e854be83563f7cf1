"""timm's VisionTransformer as one of ours: what is taken over, and what is refused by name.

The only part of the backbone that needs timm: the cloud's, where a reference is named.
"""

from __future__ import annotations

from typing import Any

from timm.layers import Mlp
from timm.models.vision_transformer import Attention, Block, VisionTransformer
from torch import nn

from models.backbone.families import vit as ours
from models.backbone.family import Backbone


def adopt(vit: Any) -> Backbone:
    """Our module with the weights of timm's, in its mode; it computes the same. One of ours is
    returned as it is.

    Raises:
        ValueError: the model has parts that slicing does not know; they are named.
    """
    if isinstance(vit, Backbone):
        return vit
    module = ours.VisionTransformer(config_of(vit))
    module.load_state_dict(vit.state_dict())
    return module.train(vit.training)


def config_of(vit: Any) -> ours.ViTConfig:
    """The configuration of a timm VisionTransformer.

    Raises:
        ValueError: the model has parts that slicing does not know; they are named.
    """
    _refuse_unknown_parts(vit)
    first = vit.blocks[0]
    return ours.ViTConfig(
        image_size=int(vit.patch_embed.img_size[0]),
        patch_size=int(vit.patch_embed.patch_size[0]),
        channels=int(vit.patch_embed.proj.in_channels),
        classes=int(vit.num_classes),
        dim=int(vit.embed_dim),
        depth=len(vit.blocks),
        heads=int(first.attn.num_heads),
        head_dim=int(first.attn.head_dim),
        mlp_hidden=int(first.mlp.fc1.out_features),
        qkv_bias=first.attn.qkv.bias is not None,
        pre_norm=not isinstance(vit.norm_pre, nn.Identity),
        norm_eps=float(first.norm1.eps),
    )


def _refuse_unknown_parts(vit: Any) -> None:
    if type(vit) is not VisionTransformer:
        raise ValueError(f"{type(vit).__name__}: only timm's VisionTransformer can be sliced")
    blocks: list[Any] = list(vit.blocks)
    # parallel blocks and gated MLPs lack the attributes looked at below, so this comes first
    if not all(
        type(b) is Block and type(b.attn) is Attention and type(b.mlp) is Mlp for b in blocks
    ):
        raise ValueError("this VisionTransformer cannot be sliced: its blocks are not standard")
    first, patches = blocks[0], vit.patch_embed
    unknown = {
        "layers of different widths": len({_width(b) for b in blocks}) > 1,
        "no class token": vit.cls_token is None,
        "register tokens": vit.num_reg_tokens > 0,
        "no positions": vit.pos_embed is None,
        "positions for the patches alone": vit.no_embed_class,
        "non-square images": patches.img_size[0] != patches.img_size[1],
        "non-square patches": patches.patch_size[0] != patches.patch_size[1],
        "another norm than LayerNorm": not isinstance(first.norm1, nn.LayerNorm),
        "query-key norm": _present(first.attn.q_norm),
        "a norm within attention": _present(first.attn.norm),
        "a norm within the MLP": _present(first.mlp.norm),
        "projections without biases": first.attn.proj.bias is None or first.mlp.fc1.bias is None,
        "layer scale": _present(first.ls1),
        "another activation than GELU": not _is_exact_gelu(first.mlp.act),
        "another pooling than the class token": vit.global_pool != "token",
        "no final norm": not _present(vit.norm),
        "a norm before the head": _present(vit.fc_norm),
    }
    found = [what for what, present in unknown.items() if present]
    if found:
        raise ValueError(f"this VisionTransformer cannot be sliced: it has {', '.join(found)}")


def _present(part: nn.Module) -> bool:
    return not isinstance(part, nn.Identity)


def _width(block: Any) -> tuple[int, int]:
    return block.attn.num_heads, block.mlp.fc1.out_features


def _is_exact_gelu(activation: nn.Module) -> bool:
    return isinstance(activation, nn.GELU) and activation.approximate == "none"
