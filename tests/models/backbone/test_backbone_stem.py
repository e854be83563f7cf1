"""A stem, counted by hand and followed through what must not lose it; the other initialisation."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from models.backbone import config as registry
from models.backbone import elastic, size, slicing
from models.backbone.distillation import Distillation, distill
from models.backbone.families.stem import StemConfig, config_of
from models.backbone.families.vit import INITIALISATIONS, VisionTransformer, ViTConfig
from models.backbone.family import Backbone
from models.backbone.training import Examples
from models.training import Loop, train

SPEC = SimpleNamespace(patch_size=7, dim=64, depth=6, heads=4, mlp_ratio=2.0)
LAYERS = ((16, 1), (24, 2), (32, 2), (64, 2))
PLAIN = config_of(SimpleNamespace(**vars(SPEC), stem=None), 28, 1, 10)
STEM = config_of(SimpleNamespace(**vars(SPEC), stem=LAYERS), 28, 1, 10)


def learned(config: ViTConfig) -> Backbone:
    """With batch norms that have seen something."""
    backbone = registry.build(config, seed=1).train()
    stream = torch.Generator().manual_seed(2)
    for _ in range(3):
        backbone(3 + torch.randn(4, 1, 28, 28, generator=stream))
    return backbone.eval()


@pytest.mark.parametrize(("side", "rows"), [(28, 4), (32, 4), (64, 8), (8, 1), (29, 4), (33, 5)])
def test_the_grid_is_what_the_convolutions_make(side: int, rows: int) -> None:
    config = config_of(SimpleNamespace(**vars(SPEC), stem=LAYERS), side, 3, 10)
    assert config.shape == (rows, rows)
    with torch.no_grad():
        vit = registry.build(config).eval()
        assert vit.patch_embed(vit.sample()).shape == (1, 64, rows, rows)


def test_parameters_by_hand() -> None:
    """Kernels without biases, and a weight and a bias a channel of its norm; the statistics of
    norms are no parameters."""
    stem = 9 * (1 * 16 + 16 * 24 + 24 * 32 + 32 * 64) + 2 * (16 + 24 + 32 + 64)
    assert stem == 29_216
    patches = 7 * 7 * 1 * 64 + 64
    assert size.backbone_parameters(STEM) == size.backbone_parameters(PLAIN) - patches + stem
    smallest, plain = (elastic.variant_config(c, 0.25, 2) for c in (STEM, PLAIN))
    assert size.backbone_parameters(smallest) == size.backbone_parameters(plain) - patches + stem


def test_operations_by_hand() -> None:
    """Two a multiply-add, at each place of each convolution's output."""
    stem = 2 * 9 * (28**2 * 16 + 14**2 * 16 * 24 + 7**2 * 24 * 32 + 4**2 * 32 * 64)
    patches = 2 * 4**2 * 7 * 7 * 64
    assert size.flops(STEM) == size.flops(PLAIN) - patches + stem


def test_zeta_leaves_the_stem_out_as_it_does_patches() -> None:
    assert size.zeta(0.5, 3, STEM) == size.zeta(0.5, 3, PLAIN)


@pytest.mark.parametrize("width", [0.25, 1.0])
def test_what_norms_have_seen_survives_slicing_and_files(width: float) -> None:
    from safetensors.torch import load, save

    full, x = learned(STEM), torch.randn(3, 1, 28, 28)
    small = slicing.slice_variant(full, width, 2)
    state = load(save(small.state_dict()))
    config = registry.config_from(json.loads(json.dumps(small.config.to_dict())))
    again = registry.restore(config, state)
    assert again.patch_embed.proj[1].num_batches_tracked == 3
    assert torch.equal(again(x), small(x))
    assert torch.equal(again.embed(x), full.embed(x)), "the stem is whole at every width"


def test_distillation_and_joint_training_leave_the_statistics() -> None:
    vit, x = learned(replace(STEM, depth=2)), torch.randn(6, 1, 28, 28)
    shown, grid = Examples(x, torch.arange(6)), elastic.Grid((0.5, 1.0), (1, 2), "first")
    before = copy.deepcopy(dict(vit.named_buffers()))
    weights = vit.patch_embed.proj[0].weight.detach().clone()
    recipe = Distillation(1, 2, 3, 1e-3, 1.0, 0.1, 0.1, 1.0)
    distill(vit, shown, grid, recipe, torch.Generator().manual_seed(0))
    for name, value in vit.named_buffers():
        assert torch.equal(value, before[name]), name
    assert not torch.equal(vit.patch_embed.proj[0].weight, weights), "the stem itself learns"


def test_plain_training_moves_the_statistics() -> None:
    vit, x = learned(replace(STEM, depth=1)), torch.randn(4, 1, 28, 28)
    before = vit.patch_embed.proj[1].running_mean.clone()
    train(vit, lambda c: [vit(x[c]).square().mean()], 4, Loop(1, 2, 1e-3), torch.Generator())
    assert not torch.equal(vit.patch_embed.proj[1].running_mean, before)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"patch_size": 7}, "patch_size 7, but the stem's strides make 8"),
        ({"stem": [[16, 2], [32, 4]]}, "the stem ends with 32 channels, but dim is 64"),
        ({"stem": []}, "stem"),
        ({"stem": [[64, 0]]}, "stem"),
    ],
)
def test_a_stem_that_does_not_fit_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        registry.config_from(STEM.to_dict() | change)


def test_what_knew_no_stems_reads_none() -> None:
    """A plain ViT's file has not changed, so that older programs read it; a stem's names a family
    that they refuse."""
    assert "stem" not in PLAIN.to_dict()
    assert (PLAIN.to_dict()["family"], STEM.to_dict()["family"]) == ("vit", "vit-stem")
    assert isinstance(registry.config_from(STEM.to_dict()), StemConfig)


# ---- initialisation ----


@pytest.mark.parametrize("config", [PLAIN, STEM], ids=["plain", "stem"])
def test_the_small_initialisation_has_its_statistics(config: ViTConfig) -> None:
    vit = registry.build(config)
    assert isinstance(vit, VisionTransformer)
    embedding = copy.deepcopy(vit.patch_embed.state_dict())
    torch.manual_seed(0)
    INITIALISATIONS["small"](vit)
    for name, layer in vit.named_modules():
        if isinstance(layer, nn.Linear):
            bound = math.sqrt(6 / (layer.in_features + layer.out_features))
            assert layer.weight.abs().max() <= bound, name
            assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1), name
            assert not layer.bias.any(), name
    assert vit.pos_embed.std().item() == pytest.approx(0.2, rel=0.1)
    assert vit.cls_token.std().item() == pytest.approx(0.02, rel=0.3)
    for name, value in vit.patch_embed.state_dict().items():
        assert torch.equal(value, embedding[name]), "convolutions keep torch's"


def test_timm_s_initialisation_is_what_is_built() -> None:
    vit = registry.build(PLAIN, seed=4)
    assert isinstance(vit, VisionTransformer)
    INITIALISATIONS["timm"](vit)
    for name, value in registry.build(PLAIN, seed=4).state_dict().items():
        assert torch.equal(vit.state_dict()[name], value)
