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

from models.backbone.batches import device_of
from models.backbone.elastic import ElasticOutput, Grid, forward, layers_of, stands_for
from models.backbone.family import Backbone
from models.backbone.training import Examples
from models.progress import OnStep, ignore
from models.ranges import Count, Positive, Rate, Weight
from models.training import Loop, train

T = TypeVar("T", int, float)


@dataclass(frozen=True)
class Distillation:
    """Steps of both stages, and the weights of Eq. 9: lambda_1 (logits), lambda_2 (embeddings),
    and that of the hidden states, which is 1 there. ``label_weight`` adds cross-entropy with the
    true labels, and ``pooled_weight`` the error of what the reference header reads; Eq. 9 has
    neither.

    ``parallel``: the teacher reads each text in the language that it was translated from, the
    student its translation (Reimers and Gurevych, 2020). Their tokens are others, so that layers
    are compared by what the reference header reads of them, and embeddings are not."""

    width_steps: Count
    depth_steps: Count
    batch_size: Positive
    lr: Rate
    logits_weight: Weight
    embeddings_weight: Weight
    hidden_weight: Weight
    label_weight: Weight
    pooled_weight: Weight = 0.0
    parallel: bool = False


def distillation_loss(
    student: ElasticOutput,
    student_logits: Tensor,
    teacher: ElasticOutput,
    teacher_logits: Tensor,
    recipe: Distillation,
) -> Tensor:
    """Eq. 9 with mean squared errors: lambda_1 l(y', y) + lambda_2 l(E', E) + l(H', H).

    The student's layers are compared with the teacher's layers that they stand for, its last with
    the teacher's last, and averaged over the layers. Padding is not compared.
    """
    own, target = (_real(output) for output in (student, teacher))
    hidden = _over_layers(own.hidden, target.hidden)
    return (
        recipe.logits_weight * F.mse_loss(student_logits, teacher_logits)
        + recipe.embeddings_weight * F.mse_loss(own.embeddings, target.embeddings)
        + recipe.hidden_weight * hidden
    )


def _real(output: ElasticOutput) -> ElasticOutput:
    """Without padding, whose tokens mean nothing: all real ones ``(tokens, dim)`` in a row."""
    if output.mask is None:
        return output
    real = (output.embeddings, *output.hidden)
    embeddings, *hidden = (tokens[output.mask] for tokens in real)
    return ElasticOutput(embeddings, tuple(hidden))


def _over_layers(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """The mean squared error of the student's layers from those that they stand for."""
    targets = stands_for(len(student), len(teacher))
    pairs = zip(student, targets, strict=True)
    return torch.stack([F.mse_loss(own, teacher[target]) for own, target in pairs]).mean()


@dataclass(frozen=True)
class _Seen:
    """What a model makes of a batch: its layers' tokens, what the reference header reads of the
    last, and its logits."""

    vit: Backbone
    output: ElasticOutput
    pooled: Tensor
    logits: Tensor

    @classmethod
    def of(cls, vit: Backbone, output: ElasticOutput) -> _Seen:
        pooled = vit.pooled(output.hidden[-1], output.mask)
        return cls(vit, output, pooled, vit.head(pooled))

    @property
    def layers(self) -> list[Tensor]:
        """What the reference header would read of each layer."""
        return [self.vit.pooled(hidden, self.output.mask) for hidden in self.output.hidden]


def _loss(own: _Seen, target: _Seen, labels: Tensor, recipe: Distillation) -> Tensor:
    if recipe.parallel:
        loss = recipe.logits_weight * F.mse_loss(own.logits, target.logits)
        loss = loss + recipe.hidden_weight * _over_layers(own.layers, target.layers)
    else:
        answers = (own.output, own.logits, target.output, target.logits)
        loss = distillation_loss(*answers, recipe)
    if recipe.pooled_weight:
        loss = loss + recipe.pooled_weight * F.mse_loss(own.pooled, target.pooled)
    return loss + recipe.label_weight * F.cross_entropy(own.logits, labels)


def distill(
    vit: Backbone,
    data: Examples,
    grid: Grid,
    recipe: Distillation,
    generator: torch.Generator,
    on_step: OnStep = ignore,
) -> None:
    """Train the elastic ``vit`` in place so that every variant of ``grid`` is good; its teacher is
    what it is at the start, and reads ``data.parallel`` where the recipe says so.

    Stage 1 trains widths at full depth, stage 2 widths and depths. Each step trains a sandwich of
    the largest, the smallest and a random sub-network. With the strategy ``first`` the depths of
    one width share a forward pass. What is not cut (a stem, say) serves all of them: its batch
    norms keep the statistics that the teacher has, or embeddings could not be compared.

    Raises:
        ValueError: the recipe says ``parallel``, and the data have none.
    """
    read = data.parallel if recipe.parallel else None
    if recipe.parallel and read is None:
        raise ValueError("parallel distillation needs texts in the language of translations")
    place, teacher = device_of(vit), copy.deepcopy(vit).eval()
    draw = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
    done = 0

    def losses(chosen: Tensor) -> Iterator[Tensor]:
        nonlocal done
        x, y = data.batch(chosen, generator, place)
        told = x if read is None else read[chosen].to(place)
        with torch.no_grad():
            target = _Seen.of(teacher, forward(teacher, told))
        wide_only = done < recipe.width_steps
        done += 1
        depths = [len(vit.blocks)] if wide_only else sandwich(grid.depths, draw)
        for width in sandwich(grid.widths, draw):
            loss = torch.zeros((), device=place)
            for output in _outputs(vit, x, width, depths, grid.depth_strategy):
                loss = loss + _loss(_Seen.of(vit, output), target, y, recipe)
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
