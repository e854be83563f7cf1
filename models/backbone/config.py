"""What it takes to rebuild a (possibly narrowed) timm VisionTransformer without its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

ViT = Any
"""timm's VisionTransformer, an nn.Module without type annotations."""


@dataclass(frozen=True)
class BackboneConfig:
    """Shape of a ViT with class token, learned positions and standard blocks.

    ``heads`` and ``mlp_hidden`` are those that are left in every layer; ``head_dim`` never
    changes, nor does the embedding dimension ``dim``.
    """

    image_size: int
    patch_size: int
    channels: int
    classes: int
    dim: int
    depth: int
    heads: int
    head_dim: int
    mlp_hidden: int
    qkv_bias: bool = True
    pre_norm: bool = False
    norm_eps: float = 1e-6

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> BackboneConfig:
        """Inverse of :meth:`to_dict`."""
        return cls(**values)

    @property
    def grid(self) -> int:
        """Patches along one side of the image."""
        return self.image_size // self.patch_size

    @property
    def shape(self) -> tuple[int, ...]:
        """How the positions lie, [CLS] aside: ``(rows, columns)`` of patches."""
        return (self.grid, self.grid)

    @property
    def positions(self) -> int:
        """Tokens besides [CLS]: N of Eq. 2."""
        return math.prod(self.shape)

    def resized(self, *, heads: int, mlp_hidden: int, depth: int) -> BackboneConfig:
        """The configuration of a narrower or shallower variant."""
        return replace(self, heads=heads, mlp_hidden=mlp_hidden, depth=depth)


def build(config: BackboneConfig, seed: int = 0) -> ViT:
    """A timm VisionTransformer of this shape, initialised from ``seed``.

    Blocks are narrowed after construction, because timm's constructor has one argument for the
    number of heads and derives their size from it.
    """
    from functools import partial

    from timm.layers import Mlp
    from timm.models.vision_transformer import Attention, VisionTransformer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vit = VisionTransformer(
            img_size=config.image_size,
            patch_size=config.patch_size,
            in_chans=config.channels,
            num_classes=config.classes,
            embed_dim=config.dim,
            depth=config.depth,
            num_heads=config.dim // config.head_dim,
            mlp_ratio=config.mlp_hidden / config.dim,
            qkv_bias=config.qkv_bias,
            pre_norm=config.pre_norm,
            norm_layer=partial(nn.LayerNorm, eps=config.norm_eps),
        )
        if config.heads * config.head_dim != config.dim or _mlp_hidden(vit) != config.mlp_hidden:
            for block in vit.blocks:
                block.attn = Attention(
                    config.dim,
                    num_heads=config.heads,
                    attn_head_dim=config.head_dim,
                    qkv_bias=config.qkv_bias,
                )
                block.mlp = Mlp(config.dim, config.mlp_hidden)
    return vit


def restore(config: BackboneConfig, state: Mapping[str, Tensor]) -> ViT:
    """The ViT of this shape with the given weights, ready to evaluate.

    Raises:
        RuntimeError: the weights are not of this configuration.
    """
    vit = build(config)
    vit.load_state_dict(dict(state))
    return vit.eval()


def config_of(vit: ViT) -> BackboneConfig:
    """The configuration of a timm VisionTransformer.

    Raises:
        ValueError: the model has parts that slicing does not know; they are named.
    """
    _refuse_unknown_parts(vit)
    first = vit.blocks[0]
    return BackboneConfig(
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


def _mlp_hidden(vit: ViT) -> int:
    return int(vit.blocks[0].mlp.fc1.out_features)


def _refuse_unknown_parts(vit: ViT) -> None:
    from timm.layers import Mlp
    from timm.models.vision_transformer import Attention, Block, VisionTransformer

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
