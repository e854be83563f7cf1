"""Lightweight models: within their size, and whole."""

from __future__ import annotations

import pytest
import torch

from models.backbone.size import parameter_count
from models.baselines.devit import DeViT
from models.baselines.families import FAMILIES, build_baseline
from models.baselines.images import Images


def images_of(size: int) -> Images:
    return Images(size, patch=2, channels=1, classes=5)


@pytest.mark.parametrize("size", [8, 12])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_baseline_fits_and_answers(family: str, size: int) -> None:
    model = build_baseline(family, 60_000, images_of(size), seed=0).eval()
    assert 5_000 < parameter_count(model) <= 60_000
    images = torch.randn(3, 1, size, size)
    logits = model(images)
    assert logits.shape == (3, 5)
    # the classifier is all that follows the pooled features: what devices tune is the whole rest
    assert torch.allclose(model.classifier()(model.pooled(images)), logits, atol=1e-5)


def test_the_same_seed_gives_the_same_weights() -> None:
    one, same = (
        build_baseline("DeiT", 40_000, images_of(8), seed=3).state_dict() for _ in range(2)
    )
    assert all(torch.equal(one[k], same[k]) for k in one)


def test_what_cannot_be_built_is_named() -> None:
    with pytest.raises(ValueError, match="unknown family 'VGG'"):
        build_baseline("VGG", 10, images_of(8), seed=0)
    with pytest.raises(ValueError, match="resmlp_12_224 has more than 10"):
        build_baseline("resmlp_12_224", 10, images_of(224), seed=0)
    with pytest.raises(ValueError, match="narrowest member has more than 10"):
        build_baseline("DeiT", 10, images_of(8), seed=0)


def test_devit_s_parts_learn_their_own_classes() -> None:
    model = DeViT(images_of(8), dim=12, depth=1, parts=2)
    labels = torch.arange(5)
    assert model.part_targets(labels, 0).tolist() == [0, 3, 1, 3, 2]  # 0, 2, 4 of its own
    assert model.part_targets(labels, 1).tolist() == [2, 0, 2, 1, 2]  # 1, 3
