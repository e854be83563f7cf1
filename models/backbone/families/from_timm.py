"""timm's VisionTransformer as one of ours: taken over where it is shown to compute the same, and
refused by name where it is not.

The only part of the backbone that needs timm: the cloud's, where a reference is named.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from timm.layers import DropPath, Mlp, PatchDropout, PatchEmbed
from timm.models.vision_transformer import Attention, Block, VisionTransformer
from torch import Tensor, nn
from torch.func import functional_call

from models.backbone.families import vit as ours
from models.backbone.families.refused import TOLERANCE, RefusedError
from models.backbone.family import Backbone


def adopt(vit: Any) -> Backbone:
    """Our module with the weights of timm's, in its mode; it is proven to compute the same. One of
    ours is returned as it is.

    Raises:
        RefusedError: it does not; what is the reason is named.
    """
    if isinstance(vit, Backbone):
        return vit
    config = config_of(vit)
    prove(vit, config)
    module = ours.VisionTransformer(config)
    module.load_state_dict(vit.state_dict())
    return module.train(vit.training)


def config_of(vit: Any) -> ours.ViTConfig:
    """The configuration of a timm VisionTransformer; :func:`prove` says whether it is all of it.

    Raises:
        RefusedError: the model has parts that are known not to be ours; they are named.
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
        pre_norm=_present(vit.norm_pre),
        norm_eps=float(first.norm1.eps),
        class_token=vit.cls_token is not None,
        reg_tokens=int(vit.num_reg_tokens),
        no_embed_class=bool(vit.no_embed_class),
        layer_scale=_present(first.ls1),
        global_pool=vit.global_pool,
        fc_norm=_present(vit.fc_norm),
    )


def prove(vit: Any, config: ours.ViTConfig) -> None:
    """Show that a model of this configuration is timm's: its tensors' names and shapes, its number
    of parameters, and its outputs with random weights on random images, in training mode and out of
    it, with the first layer and the last (:func:`config_of` has seen that all are alike). Takes the
    memory of these two, whatever the model's depth; a model without memory will do.

    Raises:
        RefusedError: it is another; says where.
    """
    same_tensors(vit, config)
    ends = sorted({0, config.depth - 1})
    theirs = copy.copy(vit)  # and of its parts the same, but for the layers
    theirs._modules = vit._modules | {"blocks": nn.Sequential(*(vit.blocks[i] for i in ends))}
    own = _on_meta(replace(config, depth=len(ends)))
    stream = torch.Generator().manual_seed(0)
    state = {name: _drawn(name, like, stream) for name, like in own.state_dict().items()}
    images = torch.randn((2, *own.sample().shape[1:]), generator=stream)
    before = vit.training
    try:
        for mode in (False, True):
            pairs = zip(
                _answers(theirs.train(mode), state, images),
                _answers(own.train(mode), state, images),
                strict=True,
            )
            if not all(torch.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE) for a, b in pairs):
                raise RefusedError("rebuilt from its settings, it has other outputs")
    except (RuntimeError, AssertionError) as error:
        raise RefusedError(f"it does not run: {str(error)[:200]}") from None
    finally:
        vit.train(before)


def _on_meta(config: ours.ViTConfig) -> ours.VisionTransformer:
    with torch.device("meta"):
        return ours.VisionTransformer(config)


def same_tensors(theirs: nn.Module, config: ours.ViTConfig) -> None:
    """Show that a model has the tensors and the number of parameters of this configuration.

    Raises:
        RefusedError: one differs; it is named.
    """
    own = _on_meta(config)
    needed, given = ({k: tuple(v.shape) for k, v in m.state_dict().items()} for m in (own, theirs))
    for name in sorted(needed.keys() | given.keys()):
        if needed.get(name) != given.get(name):
            shapes = (str(s.get(name, "none")) for s in (given, needed))
            raise RefusedError("rebuilt, it has another {}: {} is {} there".format(name, *shapes))
    counts = [sum(p.numel() for p in m.parameters()) for m in (theirs, own)]
    if counts[0] != counts[1]:
        raise RefusedError("it has {:,} parameters, rebuilt {:,}".format(*counts))


def _drawn(name: str, like: Tensor, stream: torch.Generator) -> Tensor:
    """Weights that pass on what they get, and of which none hides what another does."""
    values = torch.randn(like.shape, generator=stream)
    if like.dim() > 1:
        return values / like[0].numel() ** 0.5
    return values / 10 + (0 if name.endswith("bias") else 1)


class _Answers(nn.Module):
    """Tokens and logits of a model, ours or timm's."""

    def __init__(self, vit: Any) -> None:
        super().__init__()
        self.vit = vit

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if isinstance(self.vit, Backbone):
            hidden = self.vit.encode(images)
            return self.vit.finish(hidden), self.vit.logits(hidden)
        tokens = self.vit.forward_features(images)
        return tokens, self.vit.forward_head(tokens)


@torch.no_grad()
def _answers(vit: Any, state: dict[str, Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens and logits of a model with the given weights."""
    weights = {f"vit.{name}": value for name, value in state.items()}
    found: tuple[Tensor, Tensor] = functional_call(_Answers(vit), weights, (images,), strict=True)
    return found


def _refuse_unknown_parts(vit: Any) -> None:
    if type(vit) is not VisionTransformer:
        raise RefusedError(f"it is a {type(vit).__name__}, not timm's VisionTransformer")
    blocks: list[Any] = list(vit.blocks)
    # what is foreign lacks the attributes looked at below, so this comes first
    if foreign := dict.fromkeys((*_foreign(vit.patch_embed, PatchEmbed), *_of_layers(blocks))):
        raise RefusedError(f"it has {', '.join(foreign)}")
    first, patches = blocks[0], vit.patch_embed
    modules, norms = list(vit.modules()), list(_norms(vit))
    unknown = {
        "no positions": vit.pos_embed is None,
        "non-square images": patches.img_size[0] != patches.img_size[1],
        "non-square patches": patches.patch_size[0] != patches.patch_size[1],
        "patches larger than its images": patches.img_size[0] < patches.patch_size[0],
        "dynamic padding of images": patches.dynamic_img_pad,
        "a norm in the patch embedding": _present(patches.norm),
        "another norm than LayerNorm": not all(isinstance(n, nn.LayerNorm) for n in norms),
        "a norm without weight or bias": any(getattr(n, "bias", n) is None for n in norms)
        or any(getattr(n, "weight", n) is None for n in norms),
        "norms of different epsilons": len({getattr(n, "eps", None) for n in norms}) > 1,
        "query-key norm": _present(first.attn.q_norm) or _present(first.attn.k_norm),
        "a norm within attention": _present(first.attn.norm),
        "a gate within attention": first.attn.gate is not None,
        "a norm within the MLP": _present(first.mlp.norm),
        "projections without biases": first.attn.proj.bias is None or first.mlp.fc1.bias is None,
        "layer scale in one half of a layer": _present(first.ls1) != _present(first.ls2),
        "another activation than GELU": not _is_exact_gelu(first.mlp.act),
        "dropout": any(_dropped(module) for module in modules),
        "attention pooling": vit.attn_pool is not None,
        "another pooling than the class token or the mean of the patches": vit.attn_pool is None
        and (vit.global_pool not in ("token", "avg") or vit.pool_include_prefix),
        "no final norm": not _present(vit.norm) and not _present(vit.fc_norm),
        "two final norms": _present(vit.norm) and _present(vit.fc_norm),
        f"layers that differ{_difference(blocks)}": bool(_difference(blocks)),
    }
    found = [what for what, present in unknown.items() if present]
    if found:
        raise RefusedError(f"it has {', '.join(found)}")


def _of_layers(blocks: list[Any]) -> Iterator[str]:
    for block in blocks:
        yield from _foreign(block, Block)
        if type(block) is Block:
            yield from (*_foreign(block.attn, Attention), *_foreign(block.mlp, Mlp))


def _foreign(part: nn.Module, known: type[nn.Module]) -> list[str]:
    return [] if type(part) is known else [f"{type(part).__name__} instead of {known.__name__}"]


def _norms(vit: Any) -> Iterator[nn.Module]:
    """The norms that ours has too, where they are."""
    for part in (vit.norm_pre, vit.norm, vit.fc_norm):
        if _present(part):
            yield part
    for block in vit.blocks:
        yield from (block.norm1, block.norm2)


def _difference(blocks: list[Any]) -> str:
    """In what a layer differs from the first, in words; empty if in nothing."""
    first = _described(blocks[0])
    for number, block in enumerate(blocks[1:], 1):
        other = _described(block)
        for name in (*first, *other):
            if first.get(name) != other.get(name):
                return f" (layer {number + 1} in {name})"
    return ""


def _described(block: nn.Module) -> dict[str, Any]:
    """What a layer is made of: types of its parts, and their numbers and words."""
    plain = (bool, int, float, str, tuple)
    return {
        f"{name}.{key}".strip("."): value
        for name, part in block.named_modules()
        for key, value in (("", type(part)), *vars(part).items())
        if key == "" or (isinstance(value, plain) and not _moves(part, key))
    }


def _moves(part: nn.Module, key: str) -> bool:
    """Whether an attribute is of training alone: the mode, and how often layers are skipped, which
    is refused as dropout."""
    return key in ("training", "drop_prob") or key.startswith("_")


def _dropped(module: nn.Module) -> bool:
    if isinstance(module, nn.Dropout):
        return module.p > 0
    if isinstance(module, DropPath):
        return bool(module.drop_prob)
    return isinstance(module, PatchDropout)


def _present(part: nn.Module) -> bool:
    return not isinstance(part, nn.Identity)


def _is_exact_gelu(activation: nn.Module) -> bool:
    return isinstance(activation, nn.GELU) and activation.approximate == "none"
