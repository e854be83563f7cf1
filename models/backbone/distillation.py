"""Two-stage distillation into every variant at once (Eq. 9; the recipe is DynaBERT's)."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from models.backbone.elastic import ElasticOutput, Grid, forward, layers_of, stands_for
from models.backbone.family import Backbone
from models.backbone.training import Examples, device_of
from models.progress import OnStep, ignore
from models.ranges import Count, Positive, Rate, Weight
from models.training import Loop, train

T = TypeVar("T", int, float)


@dataclass(frozen=True)
class Distillation:
    """Steps of both stages, and the weights of Eq. 9: lambda_1 (logits), lambda_2 (embeddings),
    and that of the hidden states, which is 1 there. ``label_weight`` adds cross-entropy with the
    true labels, which Eq. 9 does not have."""

    width_steps: Count
    depth_steps: Count
    batch_size: Positive
    lr: Rate
    logits_weight: Weight
    embeddings_weight: Weight
    hidden_weight: Weight
    label_weight: Weight


def distillation_loss(
    student: ElasticOutput,
    student_logits: Tensor,
    teacher: ElasticOutput,
    teacher_logits: Tensor,
    recipe: Distillation,
) -> Tensor:
    """Eq. 9 with mean squared errors: lambda_1 l(y', y) + lambda_2 l(E', E) + l(H', H).

    The student's layers are compared with the teacher's layers that they stand for, its last with
    the teacher's last, and averaged over the layers.
    """
    targets = stands_for(len(student.hidden), len(teacher.hidden))
    hidden = torch.stack(
        [
            F.mse_loss(own, teacher.hidden[target])
            for own, target in zip(student.hidden, targets, strict=True)
        ]
    ).mean()
    return (
        recipe.logits_weight * F.mse_loss(student_logits, teacher_logits)
        + recipe.embeddings_weight * F.mse_loss(student.embeddings, teacher.embeddings)
        + recipe.hidden_weight * hidden
    )


def distill(
    vit: Backbone,
    data: Examples,
    grid: Grid,
    recipe: Distillation,
    generator: torch.Generator,
    on_step: OnStep = ignore,
) -> None:
    """Train the elastic ``vit`` in place so that every variant of ``grid`` is good; its teacher is
    what it is at the start.

    Stage 1 trains widths at full depth, stage 2 widths and depths. Each step trains a sandwich of
    the largest, the smallest and a random sub-network. With the strategy ``first`` the depths of
    one width share a forward pass. What is not cut (a stem, say) serves all of them: its batch
    norms keep the statistics that the teacher has, or embeddings could not be compared.
    """
    place, teacher = device_of(vit), copy.deepcopy(vit).eval()
    draw = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
    done = 0

    def losses(chosen: Tensor) -> Iterator[Tensor]:
        nonlocal done
        x, y = data.batch(chosen, generator, place)
        with torch.no_grad():
            target = forward(teacher, x)
            target_logits = teacher.logits(target.hidden[-1], target.mask)
        wide_only = done < recipe.width_steps
        done += 1
        depths = [len(vit.blocks)] if wide_only else sandwich(grid.depths, draw)
        for width in sandwich(grid.widths, draw):
            loss = torch.zeros((), device=place)
            for output in _outputs(vit, x, width, depths, grid.depth_strategy):
                own = vit.logits(output.hidden[-1], output.mask)
                loss = loss + distillation_loss(output, own, target, target_logits, recipe)
                loss = loss + recipe.label_weight * F.cross_entropy(own, y)
            yield loss / len(depths)

    steps = recipe.width_steps + recipe.depth_steps
    loop = Loop(steps, recipe.batch_size, recipe.lr, fixed_statistics=True)
    train(vit, losses, len(data.inputs), loop, generator, on_step)


def sandwich(values: Sequence[T], draw: random.Random) -> list[T]:
    """The largest, the smallest and a random one between, without repeats, largest first."""
    between: list[T] = sorted(set(values))[1:-1]
    chosen: set[T] = {max(values), min(values)}
    if between:
        chosen.add(draw.choice(between))
    return sorted(chosen, reverse=True)


def _outputs(
    vit: Backbone, x: Tensor, width: float, depths: Sequence[int], strategy: str
) -> Iterator[ElasticOutput]:
    total = len(vit.blocks)
    if strategy == "first":
        deepest = forward(vit, x, width, range(max(depths)))
        for depth in depths:
            yield ElasticOutput(deepest.embeddings, deepest.hidden[:depth], deepest.mask)
        return
    for depth in depths:
        yield forward(vit, x, width, layers_of(depth, total, strategy))
