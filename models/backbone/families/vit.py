"""The Vision Transformer with learned positions and pre-norm blocks: timm's, with its names of
settings and tensors and its initialisation, in plain torch."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Literal, Protocol

import torch
import torch.nn.functional as F
from annotated_types import Interval
from pydantic import Strict
from torch import Tensor, nn

from models.backbone.family import Backbone, BackboneConfig, Family, Size, classifier
from models.backbone.units import Unit


class Dimensions(Protocol):
    """What a ViT of one's own is made by."""

    @property
    def patch_size(self) -> int: ...
    @property
    def dim(self) -> int: ...
    @property
    def depth(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def mlp_ratio(self) -> float: ...


@dataclass(frozen=True, kw_only=True)
class ViTConfig(BackboneConfig):
    """Of a ViT.

    Attributes:
        pre_norm: a norm before the first layer (then patches have no bias).
        class_token: whether there is [CLS], the first token.
        reg_tokens: how many registers follow it (Darcet et al., 2024): tokens of no place.
        no_embed_class: positions are for the patches alone.
        layer_scale: each half of a layer is weighted by channel (Touvron et al., 2021).
        global_pool: what the reference header reads: [CLS], or the mean of the patches' tokens.
        fc_norm: the final norm follows that, instead of coming before.

    Raises:
        ValueError: [CLS] is read and there is none.
    """

    image_size: Size
    patch_size: Size
    channels: Size
    qkv_bias: bool = True
    pre_norm: bool = False
    norm_eps: Annotated[float, Interval(ge=0, le=1)] = 1e-6
    class_token: bool = True
    reg_tokens: Annotated[int, Strict(), Interval(ge=0, le=1 << 10)] = 0
    no_embed_class: bool = False
    layer_scale: bool = False
    global_pool: Literal["token", "avg"] = "token"
    fc_norm: bool = False

    family: ClassVar[str] = "vit"

    def __post_init__(self) -> None:
        if self.global_pool == "token" and not self.class_token:
            raise ValueError("global_pool is token, but there is no class token")

    @classmethod
    def of(cls, spec: Dimensions, image_size: int, channels: int, classes: int) -> ViTConfig:
        """A ViT of these dimensions, for such images."""
        return cls(
            image_size=image_size,
            patch_size=spec.patch_size,
            channels=channels,
            classes=classes,
            dim=spec.dim,
            depth=spec.depth,
            heads=spec.heads,
            head_dim=spec.dim // spec.heads,
            mlp_hidden=int(spec.dim * spec.mlp_ratio),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """``(rows, columns)`` of patches."""
        side = self.image_size // self.patch_size
        return (side, side)

    @property
    def prefix(self) -> int:
        return int(self.class_token) + self.reg_tokens

    def to_dict(self) -> dict[str, Any]:
        """Without what a ViT lacks that older programs know no name of, so that they read it."""
        usual = {field.name: field.default for field in fields(ViTConfig) if field.name in LATER}
        return {k: v for k, v in super().to_dict().items() if k not in usual or v != usual[k]}


LATER = frozenset(
    ("class_token", "reg_tokens", "no_embed_class", "layer_scale", "global_pool", "fc_norm")
)
"""Fields that the first files of configurations did not have."""


class Attention(nn.Module):
    """Self-attention; q, k and v of all heads come from one matrix."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        inner = config.heads * config.head_dim
        self.head_dim = config.head_dim
        self.qkv = nn.Linear(config.dim, 3 * inner, bias=config.qkv_bias)
        self.proj = nn.Linear(inner, config.dim)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(x).unflatten(2, (3, -1, self.head_dim)).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear layers, GELU between."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.dim, config.mlp_hidden)
        self.fc2 = nn.Linear(config.mlp_hidden, config.dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    """A weight for each channel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), 1e-5))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Block(nn.Module):
    """One layer, a norm before each of its halves. An image has all its patches: no mask."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.dim, eps=config.norm_eps)
        self.attn = Attention(config)
        self.ls1 = LayerScale(config.dim) if config.layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(config.dim, eps=config.norm_eps)
        self.mlp = Mlp(config)
        self.ls2 = LayerScale(config.dim) if config.layer_scale else nn.Identity()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class VisionTransformer(Backbone):
    """Images ``(n, channels, image_size, image_size)`` to logits ``(n, classes)``."""

    config: ViTConfig

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = nn.Sequential(OrderedDict(proj=self.patches()))
        self.cls_token = _tokens(int(config.class_token), config)
        self.reg_token = _tokens(config.reg_tokens, config)
        placed = config.positions + (0 if config.no_embed_class else config.prefix)
        self.pos_embed = nn.Parameter(torch.zeros(1, placed, config.dim))
        self.norm_pre = _norm(config, config.pre_norm)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = _norm(config, not config.fc_norm)
        self.fc_norm = _norm(config, config.fc_norm)
        self.head = classifier(config)
        self._initialise()

    def patches(self) -> nn.Module:
        """What makes patches ``(n, dim, rows, columns)`` of images."""
        config, size = self.config, self.config.patch_size
        bias = not config.pre_norm
        return nn.Conv2d(config.channels, config.dim, size, stride=size, bias=bias)

    def _initialise(self) -> None:
        """As timm does, draw for draw: a seed gives the same weights."""
        _normal(self.pos_embed)
        for token in self.prefix_tokens():
            nn.init.normal_(token, std=1e-6)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                _normal(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def prefix_tokens(self) -> list[nn.Parameter]:
        """Tokens before those of the patches: [CLS] and registers, where there are any."""
        return [token for token in (self.cls_token, self.reg_token) if token is not None]

    def embed(self, inputs: Tensor) -> Tensor:
        patches = self.patch_embed(inputs).flatten(2).transpose(1, 2)
        first = [token.expand(inputs.shape[0], -1, -1) for token in self.prefix_tokens()]
        if self.config.no_embed_class:
            tokens = torch.cat([*first, patches + self.pos_embed], dim=1)
        else:
            tokens = torch.cat([*first, patches], dim=1) + self.pos_embed
        return self.norm_pre(tokens)

    def finish(self, hidden: Tensor) -> Tensor:
        return self.norm(hidden)

    def pooled(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        tokens = self.finish(hidden)
        of_cls = self.config.global_pool == "token"
        return self.fc_norm(tokens[:, 0] if of_cls else tokens[:, self.config.prefix :].mean(1))

    def read(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        config, tokens = self.config, self.finish(hidden)
        if config.prefix == 1 and config.global_pool == "token" and not config.fc_norm:
            return tokens
        patches = self.fc_norm(tokens[:, config.prefix :])  # so that all layers are of one scale
        return torch.cat([self.pooled(hidden)[:, None], patches], dim=1)

    def sample(self) -> Tensor:
        side = self.config.image_size
        return torch.zeros(1, self.config.channels, side, side, device=self.pos_embed.device)


def _tokens(count: int, config: ViTConfig) -> nn.Parameter | None:
    return nn.Parameter(torch.zeros(1, count, config.dim)) if count else None


def _norm(config: ViTConfig, present: bool) -> nn.Module:
    return nn.LayerNorm(config.dim, eps=config.norm_eps) if present else nn.Identity()


def as_built(vit: VisionTransformer) -> None:
    """timm's initialisation: a normal one of .02, whatever the width."""


def small(vit: VisionTransformer) -> None:
    """Another start, from torch's global stream: linear layers Xavier-uniform, so that a layer of
    64 dimensions passes on what it gets, and positions (.2) beside which patches do not drown. (.02
    fits the 384 dimensions and more that timm's models have.)"""
    for layer in vit.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    nn.init.normal_(vit.pos_embed, std=0.2)
    for token in vit.prefix_tokens():
        nn.init.normal_(token, std=0.02)


INITIALISATIONS: dict[str, Callable[[VisionTransformer], None]] = {"timm": as_built, "small": small}
"""What weights a ViT starts from that has none yet."""


@torch.no_grad()
def _normal(tensor: Tensor, std: float = 0.02) -> None:
    """Normal values from uniform ones, cut at 2, as timm draws them."""
    tensor.uniform_(-1, 1).erfinv_().mul_(std * math.sqrt(2)).clamp_(-2, 2)


def units(config: ViTConfig) -> tuple[Unit, ...]:
    """Heads and neurons of a layer."""
    return (
        Unit("attn.qkv.weight", 0, "heads", config.head_dim, fused=3),
        Unit("attn.qkv.bias", 0, "heads", config.head_dim, fused=3),
        Unit("attn.proj.weight", 1, "heads", config.head_dim),
        Unit("mlp.fc1.weight", 0, "mlp_hidden"),
        Unit("mlp.fc1.bias", 0, "mlp_hidden"),
        Unit("mlp.fc2.weight", 1, "mlp_hidden"),
    )


def flipped(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image mirrored left to right with probability 1/2."""
    chosen = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(-1), images)


FAMILY = Family(ViTConfig, VisionTransformer, units, flipped)
