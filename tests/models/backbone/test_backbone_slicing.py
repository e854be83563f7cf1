"""The laws of slicing: a variant is a real smaller module, and computes what a masked one does."""

from __future__ import annotations

import copy
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.backbone import elastic, features, importance, scoring, size, slicing, training
from models.backbone.config import build, config_from
from models.backbone.distillation import Distillation, distill
from models.backbone.families.from_timm import adopt, config_of
from models.backbone.families.vit import ViTConfig, flipped
from models.backbone.family import Backbone

CONFIG = ViTConfig(
    image_size=8,
    patch_size=2,
    channels=3,
    classes=4,
    dim=12,
    depth=4,
    heads=3,
    head_dim=4,
    mlp_hidden=10,
)
IMAGES = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(3))
LABELS = torch.tensor([0, 1, 2, 3, 0])


def full() -> Backbone:
    """A Backbone whose biases are not zero, so that a wrong slice shows."""
    vit = build(CONFIG, seed=2).eval()
    stream = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=stream)
    return vit


def masked_logits(vit: Backbone, width: float, depth: int, strategy: str) -> torch.Tensor:
    """The full model with removed heads and neurons zeroed and other layers skipped."""
    masked: Any = copy.deepcopy(vit)
    heads, neurons = elastic.kept(width, 3), elastic.kept(width, 10)
    with torch.no_grad():
        for block in masked.blocks:
            block.attn.proj.weight[:, heads * 4 :] = 0
            block.mlp.fc2.weight[:, neurons:] = 0
    kept = elastic.layers_of(depth, len(vit.blocks), strategy)
    masked.blocks = torch.nn.ModuleList(masked.blocks[i] for i in kept)
    return masked(IMAGES)


widths = st.floats(0.01, 1.0)
depths = st.integers(1, 4)
strategies = st.sampled_from(["first", "even"])


@settings(max_examples=25)
@given(widths, depths, strategies)
def test_a_slice_gives_the_logits_of_the_masked_model(
    width: float, depth: int, strategy: str
) -> None:
    vit = full()
    small = slicing.slice_variant(vit, width, depth, strategy)
    expected = masked_logits(vit, width, depth, strategy)
    assert torch.allclose(small(IMAGES), expected, atol=1e-5)
    layers = elastic.layers_of(depth, 4, strategy)
    views = elastic.forward(vit, IMAGES, width, layers).hidden[-1]
    assert torch.allclose(vit.logits(views), expected, atol=1e-5)


@settings(max_examples=25)
@given(widths, depths)
def test_a_slice_has_the_size_that_is_counted_without_building_it(width: float, depth: int) -> None:
    small = slicing.slice_variant(full(), width, depth)
    config = elastic.variant_config(CONFIG, width, depth)
    assert small.config == config
    head = size.parameter_count(small.head)
    assert size.backbone_parameters(config) == size.parameter_count(small) - head


@settings(max_examples=25)
@given(widths, widths, depths, depths)
def test_more_width_and_depth_never_cost_less(w1: float, w2: float, d1: int, d2: int) -> None:
    small = elastic.variant_config(CONFIG, min(w1, w2), min(d1, d2))
    large = elastic.variant_config(CONFIG, max(w1, w2), max(d1, d2))
    assert size.backbone_parameters(small) <= size.backbone_parameters(large)
    assert size.flops(small) <= size.flops(large)


@settings(max_examples=25)
@given(widths, widths, depths)
def test_slicing_twice_is_slicing_once_to_the_narrower(w1: float, w2: float, depth: int) -> None:
    vit = full()
    narrow = min(w1, w2)
    assert elastic.kept(narrow, 10) <= elastic.kept(max(w1, w2), 10)
    wide = slicing.slice_variant(vit, max(w1, w2), depth)
    narrower = slicing.slice_variant(vit, narrow, depth)
    for name, value in narrower.state_dict().items():
        if "mlp.fc1" in name:
            assert torch.equal(value, wide.state_dict()[name][: len(value)])


def test_reordering_computes_the_same_and_sorts_by_importance() -> None:
    vit = full()
    scores = importance.importance(vit, IMAGES, LABELS)
    ranked = elastic.reorder(vit, scores)
    assert torch.allclose(ranked(IMAGES), vit(IMAGES), atol=1e-5)
    again = importance.importance(ranked, IMAGES, LABELS)
    for sorted_scores in (*again["heads"], *again["mlp_hidden"]):
        assert torch.all(sorted_scores[:-1] >= sorted_scores[1:] - 1e-6)


def test_one_pass_scores_every_depth_as_single_slices_do() -> None:
    vit = full()
    for strategy in get_args(elastic.Strategy):
        grid = scoring.score_grid(
            vit, (IMAGES, LABELS), elastic.Grid((0.5, 1.0), (1, 2, 4), strategy), 2
        )
        assert [(s.width, s.depth) for s in grid] == [(w, d) for w in (0.5, 1.0) for d in (1, 2, 4)]
        for score in grid:
            small = slicing.slice_variant(vit, score.width, score.depth, strategy)
            loss, accuracy = training.evaluate(small, IMAGES, LABELS)
            assert score.loss == pytest.approx(loss, rel=1e-4)
            assert score.accuracy == accuracy


def test_features_are_the_last_two_layers_after_the_final_norm() -> None:
    vit = full()
    extracted = features.extract(vit, IMAGES, batch_size=2).tokens
    assert extracted.shape == (5, 2, 17, 12)
    assert torch.allclose(extracted[:, 0], vit.forward_features(IMAGES), atol=1e-5)
    shallower = slicing.slice_variant(vit, 1.0, 3)
    assert torch.allclose(extracted[:, 1], shallower.forward_features(IMAGES), atol=1e-5)
    assert torch.allclose(vit.head(extracted[:, 0, 0]), vit(IMAGES), atol=1e-5)


def test_flops_are_the_products_of_the_layers() -> None:
    """Against the count by hand; a multiply-add is two operations."""
    for width, depth in ((0.4, 2), (1.0, 4)):
        config = elastic.variant_config(CONFIG, width, depth)
        tokens, inner = 17, config.heads * 4
        patches = 16 * 2**2 * 3 * 12
        projections, mixing = tokens * 4 * 12 * inner, 2 * tokens**2 * inner
        mlp = 2 * tokens * 12 * config.mlp_hidden
        assert size.flops(config) == 2 * (patches + depth * (projections + mixing + mlp))


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "deit_tiny_patch16_224"])
def test_timm_models_by_name_can_be_sliced(name: str) -> None:
    import timm

    vit = adopt(timm.create_model(name, pretrained=False, img_size=32, num_classes=4).eval())
    small = slicing.slice_variant(vit, 0.34, 2)
    assert small(torch.randn(2, 3, 32, 32)).shape == (2, 4)
    assert small.config.heads == 2
    rebuilt = build(config_from(small.config.to_dict()))
    rebuilt.load_state_dict(small.state_dict())
    x = torch.randn(2, 3, 32, 32)
    assert torch.allclose(rebuilt.eval()(x), small(x), atol=1e-6)


def test_what_cannot_be_sliced_is_named() -> None:
    import timm

    distilled = timm.create_model("deit_tiny_distilled_patch16_224", pretrained=False, img_size=32)
    with pytest.raises(ValueError, match="VisionTransformerDistilled"):
        config_of(distilled)
    largest = timm.create_model(
        "vit_tiny_patch16_224", pretrained=False, img_size=32, global_pool="max", class_token=True
    )
    with pytest.raises(ValueError, match="pooling"):
        config_of(largest)


@pytest.mark.parametrize("bad", [0, 5])
def test_a_depth_outside_the_model_is_refused(bad: int) -> None:
    with pytest.raises(ValueError, match=r"1\.\.4"):
        elastic.layers_of(bad, 4)


def run_distillation(strategy: elastic.Strategy) -> tuple[Backbone, list[int]]:
    vit = full()
    steps: list[int] = []
    distill(
        vit,
        training.Examples(IMAGES, LABELS),
        elastic.Grid((0.5, 1.0), (1, 2, 4), strategy),
        Distillation(2, 3, 4, 1e-3, 1.0, 0.1, 0.1, 1.0),
        torch.Generator().manual_seed(0),
        on_step=lambda done, total, _: steps.append(done),
    )
    return vit, steps


@pytest.mark.parametrize("strategy", ["first", "even"])
def test_distillation_is_reproducible_and_reports_every_step(strategy: str) -> None:
    one, steps = run_distillation(strategy)
    two, _ = run_distillation(strategy)
    assert steps == [1, 2, 3, 4, 5]
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(next(one.parameters()), next(full().parameters()))


def test_distillation_brings_small_variants_nearer_to_the_teacher() -> None:
    teacher, vit = full(), full()

    def distance() -> float:
        small = slicing.slice_variant(vit, 0.5, 2)
        return (small(IMAGES) - teacher(IMAGES)).pow(2).mean().item()

    before = distance()
    distill(
        vit,
        training.Examples(IMAGES, LABELS),
        elastic.Grid((0.5, 1.0), (2, 4), "first"),
        Distillation(5, 60, 5, 3e-3, 1.0, 0.1, 0.1, 0.0),
        torch.Generator().manual_seed(0),
    )
    assert distance() < 0.5 * before  # .011 of it with each of three kinds of kernels


def test_training_learns_and_is_reproducible() -> None:
    def run() -> Backbone:
        vit = build(CONFIG, seed=5)
        recipe = training.Training(epochs=150, batch_size=5, lr=3e-3, weight_decay=0.0)
        course = training.fit(
            vit,
            training.Examples(IMAGES, LABELS, flipped),
            recipe,
            torch.Generator().manual_seed(1),
        )
        assert course == training.Course(150, 150)
        return vit

    one, two = run(), run()
    assert training.evaluate(one, IMAGES, LABELS) == training.evaluate(two, IMAGES, LABELS)
    assert training.evaluate(one, IMAGES, LABELS)[1] == 1.0


@pytest.mark.parametrize("bad", [0, -0.5, 1.2])
def test_a_width_outside_the_model_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="outside"):
        elastic.kept(bad, 4)
