"""Two-stage distillation into every variant at once (Eq. 9; the recipe is DynaBERT's)."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from models.backbone.config import ViT
from models.backbone.elastic import ElasticOutput, forward, layers_of, logits, stands_for
from models.backbone.training import device_of, endless, flipped
from models.progress import OnStep, ignore

T = TypeVar("T", int, float)


@dataclass(frozen=True)
class LossWeights:
    """lambda_1 (logits) and lambda_2 (embeddings) of Eq. 9; hidden states have weight 1 there.
    ``labels`` adds cross-entropy with the true labels, which Eq. 9 does not have."""

    logits: float
    embeddings: float
    hidden: float
    labels: float


def distillation_loss(
    student: ElasticOutput,
    student_logits: Tensor,
    teacher: ElasticOutput,
    teacher_logits: Tensor,
    weights: LossWeights,
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
        weights.logits * F.mse_loss(student_logits, teacher_logits)
        + weights.embeddings * F.mse_loss(student.embeddings, teacher.embeddings)
        + weights.hidden * hidden
    )


def distill(
    vit: ViT,
    teacher: ViT,
    images: Tensor,
    labels: Tensor,
    *,
    widths: Sequence[float],
    depths: Sequence[int],
    strategy: str,
    width_steps: int,
    depth_steps: int,
    batch_size: int,
    lr: float,
    weights: LossWeights,
    generator: torch.Generator,
    on_step: OnStep = ignore,
) -> None:
    """Train the elastic ``vit`` in place so that every variant of ``widths x depths`` is good.

    Stage 1 trains widths at full depth, stage 2 widths and depths. Each step trains a sandwich of
    the largest, the smallest and a random sub-network. With the strategy ``first`` the depths of
    one width share a forward pass.
    """
    place, total = device_of(vit), len(vit.blocks)
    steps = width_steps + depth_steps
    optimizer = torch.optim.AdamW(vit.parameters(), lr=lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    draw = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
    source = endless(len(images), batch_size, generator)
    teacher.eval()
    vit.train()
    for step in range(steps):
        chosen = next(source)
        x, y = flipped(images[chosen], generator).to(place), labels[chosen].to(place)
        with torch.no_grad():
            target = forward(teacher, x)
            target_logits = logits(teacher, target.hidden[-1])
        optimizer.zero_grad()
        at_depths = [total] if step < width_steps else sandwich(depths, draw)
        summed = 0.0
        for width in sandwich(widths, draw):
            loss = torch.zeros((), device=place)
            for output in _outputs(vit, x, width, at_depths, strategy):
                own = logits(vit, output.hidden[-1])
                loss = loss + distillation_loss(output, own, target, target_logits, weights)
                loss = loss + weights.labels * F.cross_entropy(own, y)
            (loss / len(at_depths)).backward()
            summed += loss.item() / len(at_depths)
        optimizer.step()
        schedule.step()
        on_step(step + 1, steps, {"loss": summed})
    vit.eval()


def sandwich(values: Sequence[T], draw: random.Random) -> list[T]:
    """The largest, the smallest and a random one between, without repeats, largest first."""
    between: list[T] = sorted(set(values))[1:-1]
    chosen: set[T] = {max(values), min(values)}
    if between:
        chosen.add(draw.choice(between))
    return sorted(chosen, reverse=True)


def _outputs(
    vit: ViT, x: Tensor, width: float, depths: Sequence[int], strategy: str
) -> Iterator[ElasticOutput]:
    total = len(vit.blocks)
    if strategy == "first":
        deepest = forward(vit, x, width, range(max(depths)))
        for depth in depths:
            yield ElasticOutput(deepest.embeddings, deepest.hidden[:depth])
        return
    for depth in depths:
        yield forward(vit, x, width, layers_of(depth, total, strategy))
