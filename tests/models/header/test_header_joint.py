"""Header and backbone trained together."""

from __future__ import annotations

import torch

from models.backbone.config import BackboneConfig, ViT, build
from models.backbone.features import extract
from models.backbone.training import scores
from models.header.build import HeaderConfig, build_header
from models.header.joint import train_jointly

CONFIG = BackboneConfig(
    image_size=8,
    patch_size=2,
    channels=1,
    classes=3,
    dim=8,
    depth=2,
    heads=2,
    head_dim=4,
    mlp_hidden=8,
)
IMAGES = torch.randn(9, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(9) % 3


def joint(steps: int) -> tuple[ViT, torch.nn.Module]:
    vit = build(CONFIG, seed=1)
    header = build_header(HeaderConfig("mlp", 8, 4, 3, 4, 6), seed=1)
    train_jointly(
        vit,
        header,
        IMAGES,
        LABELS,
        steps=steps,
        batch_size=9,
        lr=1e-2,
        generator=torch.Generator().manual_seed(0),
    )
    return vit, header


def test_both_learn_and_the_same_seed_gives_the_same() -> None:
    vit, header = joint(100)
    untouched = build(CONFIG, seed=1)
    assert not torch.equal(vit.blocks[0].mlp.fc1.weight, untouched.blocks[0].mlp.fc1.weight)
    with torch.no_grad():
        loss, _ = scores(header(extract(vit, IMAGES)), LABELS)
    assert loss < 0.5  # ln 3 before
    again, _ = joint(100)
    assert torch.equal(vit.blocks[1].attn.qkv.weight, again.blocks[1].attn.qkv.weight)
