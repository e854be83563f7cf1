"""timm's models, accepted by proof: what passes computes the same, and the rest is named."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from timm.layers import LayerNorm, RmsNorm, set_fused_attn
from timm.models.vision_transformer import Attention, VisionTransformer
from torch import Tensor, nn

from models.backbone import elastic, size, slicing
from models.backbone.families.from_timm import RefusedError, adopt, config_of, prove

SHAPE = {"img_size": 8, "patch_size": 2, "embed_dim": 12, "depth": 3, "num_heads": 3}
SCALED = {"init_values": 1e-5}
MEAN = {"class_token": False, "global_pool": "avg"}
ACCEPTED: dict[str, dict[str, Any]] = {
    "plain": {},
    "layer scale": SCALED,  # DINOv2
    "layer scale, positions for the patches alone": {**SCALED, "no_embed_class": True},  # DeiT III
    "registers with positions": {"reg_tokens": 2},
    "registers without": {"reg_tokens": 2, "no_embed_class": True, **SCALED},  # DINOv2
    "mean of the patches": {**MEAN, "fc_norm": False},  # SigLIP's gap
    "normed mean": MEAN,
    "normed mean beside a class token": {"global_pool": "avg"},  # EVA
    "normed mean beside registers": {**MEAN, **SCALED, "reg_tokens": 4, "no_embed_class": True},
    "normed class token": {"fc_norm": True},
    "no bias": {"qkv_bias": False},
    "a norm before": {"pre_norm": True},  # CLIP
    "any size of images, at its own": {"dynamic_img_size": True},
    "no classifier": {"num_classes": 0},
    "heads of another size": {"num_heads": 2},
    "one layer": {"depth": 1},
}


def made(**changes: Any) -> Any:
    torch.manual_seed(0)
    return VisionTransformer(**{**SHAPE, "num_classes": 4, **changes}).eval()


def stirred(vit: Any) -> Any:
    """Random weights, so that no part is at a start that hides it."""
    stream = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in vit.parameters():
            value += 0.2 * torch.randn(value.shape, generator=stream)
    return vit


def images(count: int = 3) -> Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(2))


def norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight + bias


def literal(vit: Any, x: Tensor, heads: int, neurons: int, depth: int) -> tuple[Tensor, Tensor]:
    """What headers read and the logits of timm's ``vit`` with its first heads, neurons and layers:
    an image, a token and a head at a time, from the tensors by name."""
    state, scaled, dim = dict(vit.named_parameters()), hasattr(vit.blocks[0].ls1, "gamma"), 12
    size, groups = dim // vit.blocks[0].attn.num_heads, vit.blocks[0].attn.num_heads
    read = []
    for image in x:
        tokens = []
        for row in range(4):
            for column in range(4):
                patch = image[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                kernel = state["patch_embed.proj.weight"]
                bias = state.get("patch_embed.proj.bias", torch.zeros(dim))
                tokens.append((kernel * patch).sum((1, 2, 3)) + bias)
        first = [state["cls_token"][0, 0]] if "cls_token" in state else []
        first += [*state["reg_token"][0]] if "reg_token" in state else []
        places = state["pos_embed"][0]
        if vit.no_embed_class:
            places = torch.cat([torch.zeros(len(first), dim), places])
        h = torch.stack([*first, *tokens]) + places
        if vit.patch_embed.proj.bias is None:
            h = norm(h, state["norm_pre.weight"], state["norm_pre.bias"])
        for layer in range(depth):

            def part(name: str, layer: int = layer) -> Tensor:
                return state[f"blocks.{layer}.{name}"]

            inner = norm(h, part("norm1.weight"), part("norm1.bias"))
            qkv = inner @ part("attn.qkv.weight").T
            if f"blocks.{layer}.attn.qkv.bias" in state:
                qkv = qkv + part("attn.qkv.bias")
            mixed = torch.zeros(len(h), dim)
            for head in range(heads):
                q, k, v = (
                    qkv[:, at : at + size]
                    for at in (n * groups * size + head * size for n in range(3))
                )
                of_head = torch.softmax(q @ k.T / size**0.5, 1) @ v
                columns = part("attn.proj.weight")[:, head * size : head * size + size]
                mixed = mixed + of_head @ columns.T
            mixed = mixed + part("attn.proj.bias")
            h = h + (mixed * part("ls1.gamma") if scaled else mixed)
            inner = norm(h, part("norm2.weight"), part("norm2.bias"))
            hidden = inner @ part("mlp.fc1.weight")[:neurons].T + part("mlp.fc1.bias")[:neurons]
            hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2
            out = hidden @ part("mlp.fc2.weight")[:, :neurons].T + part("mlp.fc2.bias")
            h = h + (out * part("ls2.gamma") if scaled else out)
        last = "fc_norm" if "fc_norm.weight" in state else "norm"
        normed = norm(h, state[f"{last}.weight"], state[f"{last}.bias"])
        patches = normed[len(first) :]
        if vit.global_pool == "token":
            summary = normed[0]
        elif last == "norm":
            summary = patches.mean(0)
        else:
            mean = h[len(first) :].mean(0)
            summary = norm(mean, state["fc_norm.weight"], state["fc_norm.bias"])
        read.append(torch.stack([summary, *patches]))
    found = torch.stack(read)
    if "head.weight" not in state:
        return found, found[:, 0]
    return found, found[:, 0] @ state["head.weight"].T + state["head.bias"]


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED)
def test_what_is_accepted_computes_the_same_at_every_size(changes: dict[str, Any]) -> None:
    theirs, x = stirred(made(**changes)), images()
    ours = adopt(theirs)
    assert torch.allclose(ours(x), theirs(x), atol=1e-5)
    groups, total = theirs.blocks[0].attn.num_heads, len(theirs.blocks)
    for width, depth in ((1.0, total), (0.5, max(1, total - 1))):
        small = slicing.slice_variant(ours, width, depth)
        heads, neurons = elastic.kept(width, groups), elastic.kept(width, 48)
        assert (small.config.heads, small.config.mlp_hidden) == (heads, neurons)  # type: ignore[attr-defined]
        read, logits = literal(theirs, x, heads, neurons, depth)
        assert torch.allclose(small.read(small.encode(x)), read, atol=1e-4)
        assert torch.allclose(small(x), logits, atol=1e-4)
    assert size.parameter_count(ours) == sum(p.numel() for p in theirs.parameters())


def changed(change: Callable[[Any], None]) -> Any:
    vit = made()
    change(vit)
    return vit


def renormed(vit: Any) -> None:
    vit.blocks[1].norm2.eps = 1e-5


def scaled(vit: Any) -> None:
    class Scaled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 1.001 * super().forward(x)

    vit.blocks[2].attn.proj = Scaled(12, 12)


def widened(vit: Any) -> None:
    vit.blocks[2].mlp = type(vit.blocks[2].mlp)(12, 30)


def gated(vit: Any) -> None:
    for block in vit.blocks:
        block.attn = Attention(12, 3, qkv_bias=True, gated=True)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a norm of patches": (lambda: made(embed_norm_layer=LayerNorm), "norm in the patch embedding"),
    "norms without bias": (
        lambda: made(norm_layer=partial(LayerNorm, bias=False)),
        "a norm without weight or bias",
    ),
    "norms without both": (
        lambda: made(norm_layer=partial(LayerNorm, affine=False)),
        "a norm without weight or bias",
    ),
    "padding": (lambda: made(img_size=9, dynamic_img_pad=True), "dynamic padding"),
    "padding and size": (
        lambda: made(img_size=9, dynamic_img_pad=True, dynamic_img_size=True),
        "dynamic padding",
    ),
    "padding of nothing": (lambda: made(dynamic_img_pad=True), "dynamic padding"),
    "epsilons": (lambda: changed(renormed), "norms of different epsilons"),
    "another projection": (lambda: changed(scaled), r"layers that differ \(layer 3 in attn.pr"),
    "another MLP": (lambda: changed(widened), r"layers that differ \(layer 3 in mlp.fc1"),
    "dropped positions": (lambda: made(pos_drop_rate=0.1), "dropout"),
    "dropped patches": (lambda: made(patch_drop_rate=0.1), "dropout"),
    "dropped layers": (lambda: made(drop_path_rate=0.1), "dropout"),
    "dropped attention": (lambda: made(attn_drop_rate=0.1), "dropout"),
    "dropped features": (lambda: made(drop_rate=0.1), "dropout"),
    "RMS norms": (lambda: made(norm_layer=RmsNorm), "another norm than LayerNorm"),
    "query-key norm": (lambda: made(qk_norm=True), "query-key norm"),
    "attention's norm": (lambda: made(scale_attn_norm=True), "a norm within attention"),
    "the MLP's norm": (lambda: made(scale_mlp_norm=True), "a norm within the MLP"),
    "tanh": (lambda: made(act_layer="gelu_tanh"), "another activation"),
    "ReLU": (lambda: made(act_layer=nn.ReLU), "another activation"),
    "gates": (lambda: changed(gated), "a gate within attention"),
    "no final norm": (lambda: made(final_norm=False), "no final norm"),
    "no positions": (lambda: made(pos_embed="none"), "no positions"),
    "attention pooling": (lambda: made(global_pool="map", class_token=False), "attention pooling"),
    "the largest": (lambda: made(global_pool="max"), "another pooling than"),
    "a mean of all": (
        lambda: made(global_pool="avg", pool_include_prefix=True),
        "another pooling than",
    ),
    "no pooling": (lambda: made(global_pool=""), "another pooling than"),
    "oblong images": (lambda: made(img_size=(8, 4)), "non-square images"),
    "oblong patches": (lambda: made(patch_size=(2, 4)), "non-square patches"),
    "large patches": (lambda: made(patch_size=16), "patches larger than its images"),
    "no biases": (lambda: made(proj_bias=False), "projections without biases"),
    "differential attention": (
        lambda: made(attn_layer="diff", num_heads=2),
        "DiffAttention instead of Attention",
    ),
}


@pytest.mark.parametrize(("build", "words"), REFUSED.values(), ids=REFUSED)
def test_what_ours_is_not_is_named(build: Callable[[], Any], words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        adopt(build())


# ---- what no attribute shows ----


def disguised(vit: Any, name: str, forward: Callable[..., Any]) -> Any:
    """A model of which a part computes another thing under the same name."""
    setattr(vit.get_submodule(name), "forward", forward)  # noqa: B010  (mypy)
    return vit


def test_what_looks_the_same_and_computes_another_thing_is_refused() -> None:
    assert adopt(made())
    for layer in (0, 2):
        vit = made()
        other = partial(nn.functional.gelu, approximate="tanh")
        disguised(vit, f"blocks.{layer}.mlp.act", other)
        config_of(vit)
        with pytest.raises(RefusedError, match="other outputs"):
            adopt(vit)


def test_a_scale_of_attention_is_seen_where_timm_uses_it() -> None:
    set_fused_attn(False)
    try:
        vit = made()
        assert torch.allclose(adopt(vit)(images()), vit(images()), atol=1e-5)
        for block in vit.blocks:
            block.attn.scale *= 1.1
        with pytest.raises(RefusedError, match="other outputs"):
            adopt(vit)
    finally:
        set_fused_attn(True)


def test_what_trains_in_another_way_is_refused() -> None:
    vit = made()
    act = vit.blocks[0].mlp.act
    other = disguised(vit, "blocks.0.mlp.act", lambda x: nn.functional.gelu(x) * (2 - act.training))
    assert not act.training
    act.train()
    with pytest.raises(RefusedError, match="other outputs"):
        adopt(other)


def test_other_tensors_are_named() -> None:
    vit = made()
    vit.register_parameter("extra", nn.Parameter(torch.zeros(2)))
    with pytest.raises(RefusedError, match=r"another extra: \(2,\) is none there"):
        adopt(vit)
    shorter = made()
    shorter.pos_embed = nn.Parameter(shorter.pos_embed[:, 1:])
    with pytest.raises(RefusedError, match="another pos_embed"):
        adopt(shorter)


def test_tied_tensors_are_counted_once() -> None:
    vit = made()
    vit.blocks[1].mlp.fc1.weight = vit.blocks[0].mlp.fc1.weight
    with pytest.raises(RefusedError, match="parameters, rebuilt"):
        adopt(vit)


def test_what_does_not_run_is_refused() -> None:
    def broken(x: Tensor) -> Tensor:
        raise RuntimeError("no such kernel")

    with pytest.raises(RefusedError, match="does not run: no such kernel"):
        adopt(disguised(made(), "blocks.0.mlp.act", broken))


@pytest.mark.parametrize("training", [False, True])
def test_a_proof_leaves_no_trace(training: bool) -> None:
    vit = stirred(made(**SCALED, reg_tokens=1)).train(training)
    before, stream = copy.deepcopy(vit.state_dict()), torch.get_rng_state()
    prove(vit, config_of(vit))
    assert torch.equal(stream, torch.get_rng_state())
    assert all(module.training is training for module in vit.modules())
    assert len(vit.blocks) == 3
    for name, value in vit.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_proof_takes_no_memory_for_the_model() -> None:
    with torch.device("meta"):
        vit = made(embed_dim=96, depth=40)
    prove(vit, config_of(vit))
    assert all(value.is_meta for value in vit.state_dict().values())
