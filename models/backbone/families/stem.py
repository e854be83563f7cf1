"""A ViT whose tokens a thin convolutional stem makes (Xiao et al., 2021): from scratch, on few and
small images, it learns what one linear patch embedding does not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Protocol

from annotated_types import Interval, Len
from pydantic import Strict
from torch import nn

from models.backbone.families import vit
from models.backbone.families.vit import Dimensions, VisionTransformer, ViTConfig
from models.backbone.family import Family, Size

Stride = Annotated[int, Strict(), Interval(ge=1, le=16)]
Stem = Annotated[tuple[tuple[Size, Stride], ...], Len(1, 16)]
"""``(channels, stride)`` of each 3 x 3 convolution."""


class StemDimensions(Dimensions, Protocol):
    """What a ViT of one's own is made by, with a stem or without."""

    @property
    def stem(self) -> tuple[tuple[int, int], ...] | None: ...


@dataclass(frozen=True, kw_only=True)
class StemConfig(ViTConfig):
    """Of a ViT with a stem; ``patch_size`` are the pixels from one token to the next, the product
    of the strides. Raises ValueError if it is another, or the stem ends with other channels than
    ``dim``."""

    stem: Stem

    family: ClassVar[str] = "vit-stem"

    def __post_init__(self) -> None:
        super().__post_init__()
        apart, channels = math.prod(stride for _, stride in self.stem), self.stem[-1][0]
        if self.patch_size != apart:
            raise ValueError(f"patch_size {self.patch_size}, but the stem's strides make {apart}")
        if self.dim != channels:
            raise ValueError(f"the stem ends with {channels} channels, but dim is {self.dim}")

    @property
    def shape(self) -> tuple[int, ...]:
        """``(rows, columns)`` of tokens. Each convolution is padded by one: what its stride does
        not divide gets a token more, and no pixel is lost."""
        side = self.image_size
        for _, stride in self.stem:
            side = -(-side // stride)
        return (side, side)


def config_of(spec: StemDimensions, image_size: int, channels: int, classes: int) -> ViTConfig:
    """A ViT of these dimensions, for such images: with a stem where there is one."""
    plain = ViTConfig.of(spec, image_size, channels, classes)
    if spec.stem is None:
        return plain
    apart = math.prod(stride for _, stride in spec.stem)
    return StemConfig(**vars(plain) | {"patch_size": apart, "stem": spec.stem})


class StemTransformer(VisionTransformer):
    """Images ``(n, channels, image_size, image_size)`` to logits ``(n, classes)``."""

    config: StemConfig

    def patches(self) -> nn.Module:
        layers: list[nn.Module] = []
        before = self.config.channels
        for channels, stride in self.config.stem:
            layers.append(nn.Conv2d(before, channels, 3, stride, padding=1, bias=False))
            layers += [nn.BatchNorm2d(channels), nn.GELU()]
            before = channels
        return nn.Sequential(*layers)


FAMILY = Family(StemConfig, StemTransformer, vit.units, vit.flipped)
