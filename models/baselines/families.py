"""timm's lightweight families, scaled by width to a number of parameters and an image size.

Each family is built from timm's own classes with two or three stages instead of their four or
five: images of 8 to 64 pixels have no room for more. The stage layout follows the family's
smallest published member.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbone.size import parameter_count
from models.baselines.devit import DeViT
from models.baselines.images import Images

WIDEST = 64


class Padded(nn.Module):
    """Pads images to ``size`` pixels before a model that needs sides divisible by 8."""

    def __init__(self, model: Any, size: int) -> None:
        super().__init__()
        self.model, self.size = model, size

    def forward(self, images: Tensor) -> Tensor:
        return self.model(self._padded(images))

    def pooled(self, images: Tensor) -> Tensor:
        """Features before the classifier ``(n, features)``."""
        tokens = self.model.forward_features(self._padded(images))
        return self.model.forward_head(tokens, pre_logits=True)

    def classifier(self) -> nn.Linear:
        """The last linear layer."""
        layer = self.model.get_classifier()
        assert isinstance(layer, nn.Linear)
        return layer

    def _padded(self, images: Tensor) -> Tensor:
        missing = self.size - images.shape[-1]
        before, after = missing // 2, missing - missing // 2
        return F.pad(images, (before, after, before, after))


def _twins(width: int, images: Images) -> nn.Module:
    from timm.models.twins import Twins

    return Twins(
        img_size=images.size,
        patch_size=images.patch,
        in_chans=images.channels,
        num_classes=images.classes,
        embed_dims=(4 * width, 8 * width),
        num_heads=(2, 4),
        mlp_ratios=(4, 4),
        depths=(2, 2),
        sr_ratios=(2, 1),
        wss=(4, 4),
    )


def _mobilevit(width: int, images: Images, version: int) -> nn.Module:
    from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg

    def inverted(out: int, stride: int) -> Any:
        return ByoBlockCfg(
            type="bottle",
            d=1,
            c=out,
            s=stride,
            gs=1,
            br=2,
            block_kwargs={"bottle_in": True, "linear_out": True},
        )

    def stage(out: int, depth: int) -> tuple[Any, Any]:
        if version == 1:
            inner = {
                "transformer_dim": 4 * (3 * out // 8),
                "transformer_depth": depth,
                "patch_size": 2,
            }
            return inverted(out, 2), ByoBlockCfg(
                type="mobilevit", d=1, c=out, s=1, block_kwargs=inner
            )
        inner = {"transformer_depth": depth, "patch_size": 2}
        return inverted(out, 2), ByoBlockCfg(
            type="mobilevit2", d=1, c=out, s=1, br=0.5, gs=1, block_kwargs=inner
        )

    config = ByoModelCfg(
        blocks=(inverted(4 * width, 1), stage(8 * width, 2), stage(12 * width, 2)),
        stem_chs=4 * width,
        stem_type="3x3",
        stem_pool="",
        num_features=24 * width if version == 1 else 0,
        act_layer="silu",
    )
    return ByobNet(config, num_classes=images.classes, in_chans=images.channels)


def _efficientvit(width: int, images: Images) -> nn.Module:
    from timm.models.efficientvit_mit import EfficientVit

    return EfficientVit(
        in_chans=images.channels,
        num_classes=images.classes,
        widths=(2 * width, 4 * width, 8 * width),
        depths=(1, 2, 2),
        head_dim=16,
        head_widths=(16 * width, 16 * width),
    )


def _deit(width: int, images: Images) -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=images.size,
        patch_size=images.patch,
        in_chans=images.channels,
        num_classes=images.classes,
        embed_dim=6 * width,
        depth=6,
        num_heads=3,
        mlp_ratio=4,
    )


def _resmlp(width: int, images: Images) -> nn.Module:
    from timm.models.mlp_mixer import Affine, MlpMixer, ResBlock

    return MlpMixer(
        img_size=images.size,
        patch_size=images.patch,
        in_chans=images.channels,
        num_classes=images.classes,
        embed_dim=6 * width,
        num_blocks=6,
        mlp_ratio=4,
        block_layer=ResBlock,
        norm_layer=Affine,
    )


def _devit(width: int, images: Images) -> nn.Module:
    return DeViT(images, dim=6 * width, depth=4, parts=2)


FAMILIES: dict[str, Callable[[int, Images], nn.Module]] = {
    "Twins-SVT": _twins,
    "MobileViT": partial(_mobilevit, version=1),
    "MobileViTv2": partial(_mobilevit, version=2),
    "EfficientViT": _efficientvit,
    "DeiT": _deit,
    "ResMLP": _resmlp,
    "DeViT": _devit,
}
PLAIN = ("DeiT", "ResMLP", "DeViT")  # one grid of patches: they take the reference's


def build_baseline(
    family: str, parameters: int, images: Images, seed: int, pretrained: bool = False
) -> Padded:
    """The widest member of a family with at most ``parameters``, initialised from ``seed``; or the
    model of that name in timm, as it is, with hub weights if ``pretrained``.

    The patches of ``images`` are for the families with one grid of them; those with stages shrink
    as their papers have it.

    Raises:
        ValueError: unknown family, or not even its narrowest member is small enough.
    """
    if family not in FAMILIES:
        model = _by_name(family, images, seed, pretrained)
        if parameter_count(model) > parameters:
            raise ValueError(f"{family} has more than {parameters:,} parameters")
        return Padded(model, images.size)
    padded = images if family in PLAIN else _for_stages(images)
    fitting = None
    with torch.random.fork_rng(devices=[]):
        for width in range(1, WIDEST + 1):
            torch.manual_seed(seed)
            wider = FAMILIES[family](width, padded)
            if parameter_count(wider) > parameters:
                break
            fitting = wider
    if fitting is None:
        raise ValueError(f"{family}: its narrowest member has more than {parameters:,} parameters")
    return Padded(fitting, padded.size)


def _for_stages(images: Images) -> Images:
    """Images whose side can be halved three times, in patches of a stem."""
    side = 8 * -(-images.size // 8)
    return replace(images, size=side, patch=max(1, min(4, side // 8)))


def _by_name(name: str, images: Images, seed: int, pretrained: bool) -> nn.Module:
    import timm

    if name not in timm.list_models():
        families = ", ".join(FAMILIES)
        raise ValueError(f"unknown family {name!r}: choose one of {families}, or a model of timm")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return timm.create_model(
            name, pretrained=pretrained, in_chans=images.channels, num_classes=images.classes
        )
