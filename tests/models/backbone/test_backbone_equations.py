"""Eq. 3 and 6-9 against slow literal versions."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from models.backbone import elastic, importance, size
from models.backbone.config import build
from models.backbone.distillation import Distillation, distillation_loss
from models.backbone.elastic import ElasticOutput
from models.backbone.families.vit import ViTConfig
from models.backbone.family import Backbone

CONFIG = ViTConfig(
    image_size=8,
    patch_size=4,
    channels=1,
    classes=5,
    dim=12,
    depth=3,
    heads=3,
    head_dim=4,
    mlp_hidden=10,
)


@pytest.fixture
def vit() -> Backbone:
    return build(CONFIG, seed=1).eval()


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    stream = torch.Generator().manual_seed(0)
    return torch.randn(6, 1, 8, 8, generator=stream), torch.arange(6) % 5


def test_eq03_zeta_is_depth_times_width_times_a_layer_s_matrices() -> None:
    # H: q, k, v and the projection, with their biases
    attention = 3 * (12 * 12 + 12) + 12 * 12 + 12
    assert size.attention_parameters(CONFIG) == attention
    expected = 2 * 0.5 * (attention + 2 * 12 * 10)
    assert size.zeta(0.5, 2, CONFIG) == pytest.approx(expected)


def keep(kept: dict[str, torch.Tensor], name: str) -> Callable[..., None]:
    """A hook that keeps a layer's input."""
    return lambda _, inputs: kept.update({name: inputs[0]})


def literal_scores(
    vit: Backbone, images: torch.Tensor, labels: torch.Tensor, layer: int
) -> tuple[list[float], list[float]]:
    """Eq. 8 sample by sample: |sum over tokens of dF/dO * O| of each head and neuron."""
    heads, neurons = [0.0] * 3, [0.0] * 10
    block = vit.blocks[layer]
    for image, label in zip(images, labels, strict=True):
        kept: dict[str, torch.Tensor] = {}
        hooks = [
            block.attn.proj.register_forward_pre_hook(keep(kept, "heads")),
            block.mlp.fc2.register_forward_pre_hook(keep(kept, "neurons")),
        ]
        loss = F.cross_entropy(vit(image[None]), label[None])
        for hook in hooks:
            hook.remove()
        of_heads, of_neurons = torch.autograd.grad(loss, [kept["heads"], kept["neurons"]])
        kept = {name: tensor.detach() for name, tensor in kept.items()}
        for h in range(3):
            total = 0.0
            for token in range(5):
                for channel in range(4):
                    i = 4 * h + channel
                    total += float(of_heads[0, token, i] * kept["heads"][0, token, i])
            heads[h] += abs(total) / len(images)
        for n in range(10):
            total = sum(float(of_neurons[0, t, n] * kept["neurons"][0, t, n]) for t in range(5))
            neurons[n] += abs(total) / len(images)
    return heads, neurons


@pytest.mark.parametrize("layer", range(3))
def test_eq08_importance_matches_the_literal_version(
    vit: Backbone, batch: tuple[torch.Tensor, torch.Tensor], layer: int
) -> None:
    scores = importance.importance(vit, *batch, batch_size=4)
    heads, neurons = literal_scores(vit, *batch, layer)
    assert scores["heads"][layer].tolist() == pytest.approx(heads, rel=1e-4, abs=1e-8)
    assert scores["mlp_hidden"][layer].tolist() == pytest.approx(neurons, rel=1e-4, abs=1e-8)


def test_eq06_eq07_importance_is_the_loss_change_of_a_removal_to_first_order(
    vit: Backbone, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """Eq. 6 by really removing a neuron. The remainder of Eq. 7 vanishes with the neuron's output,
    so a neuron scaled to a thousandth must agree closely."""
    images, labels = batch[0][:1], batch[1][:1]
    with torch.no_grad():
        vit.blocks[1].mlp.fc2.weight[:, 4] *= 1e-3
    with_neuron = F.cross_entropy(vit(images), labels).item()
    predicted = importance.importance(vit, images, labels)["mlp_hidden"][1, 4].item()
    removed = copy.deepcopy(vit)
    with torch.no_grad():
        removed.blocks[1].mlp.fc2.weight[:, 4] = 0
    without = F.cross_entropy(removed.double()(images.double()), labels).item()
    exact = abs(copy.deepcopy(vit).double()(images.double()).log_softmax(1)[0, labels[0]] + without)
    assert predicted == pytest.approx(exact.item(), rel=2e-2)
    assert with_neuron == pytest.approx(without, abs=1e-2)


def test_eq09_distillation_loss_matches_the_literal_version() -> None:
    stream = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=stream)

    teacher = ElasticOutput(draw(2, 5, 12), tuple(draw(2, 5, 12) for _ in range(6)))
    student = ElasticOutput(draw(2, 5, 12), tuple(draw(2, 5, 12) for _ in range(2)))
    y, y_teacher = draw(2, 5), draw(2, 5)

    def mse(a: torch.Tensor, b: torch.Tensor) -> float:
        return float(sum((p - q) ** 2 for p, q in zip(a.flatten(), b.flatten(), strict=True))) / (
            a.numel()
        )

    # two layers stand for six: the first for the third, the last for the last
    hidden = (
        mse(student.hidden[0], teacher.hidden[2]) + mse(student.hidden[1], teacher.hidden[5])
    ) / 2
    expected = 0.7 * mse(y, y_teacher) + 0.2 * mse(student.embeddings, teacher.embeddings) + hidden
    recipe = Distillation(0, 0, 1, 1e-3, 0.7, 0.2, 1.0, 0.0)
    got = distillation_loss(student, y, teacher, y_teacher, recipe)
    assert got.item() == pytest.approx(expected, rel=1e-5)


def test_eq09_knows_no_padding() -> None:
    """Of two texts, the second of two tokens: the errors of their five real tokens alone."""
    stream = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=stream)

    mask = torch.tensor([[True, True, True], [True, True, False]])
    teacher = ElasticOutput(draw(2, 3, 4), (draw(2, 3, 4),), mask)
    student = ElasticOutput(draw(2, 3, 4), (draw(2, 3, 4),), mask)
    y, y_teacher = draw(2, 5), draw(2, 5)

    def mse(a: torch.Tensor, b: torch.Tensor) -> float:
        real = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
        return sum(float(((a[i, t] - b[i, t]) ** 2).sum()) for i, t in real) / (5 * 4)

    expected = 0.7 * float(((y - y_teacher) ** 2).mean())
    expected += 0.2 * mse(student.embeddings, teacher.embeddings)
    expected += 0.3 * mse(student.hidden[0], teacher.hidden[0])
    recipe = Distillation(0, 0, 1, 1e-3, 0.7, 0.2, 0.3, 0.0)
    got = distillation_loss(student, y, teacher, y_teacher, recipe)
    assert got.item() == pytest.approx(expected, rel=1e-5)


def test_the_last_student_layer_stands_for_the_teacher_s_last() -> None:
    for total in range(1, 13):
        for depth in range(1, total + 1):
            layers = elastic.stands_for(depth, total)
            assert len(set(layers)) == depth
            assert layers[-1] == total - 1


def test_kept_is_the_ceiling() -> None:
    for total in range(1, 30):
        for tenths in range(1, 11):
            assert elastic.kept(tenths / 10, total) == math.ceil(tenths * total / 10)
