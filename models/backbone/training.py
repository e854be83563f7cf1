"""Training a whole model on labelled inputs, and scoring one."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.answers import restricted
from models.backbone.batches import device_of, in_batches
from models.backbone.family import Augment, Backbone, unchanged
from models.progress import OnStep, ignore
from models.ranges import Count, Fraction, Positive, Rate
from models.training import Loop, train


@dataclass(frozen=True)
class Schedule:
    """How a whole model is trained: for ``epochs`` (0: not at all), or for as many ``steps``
    whatever the number of samples, which is what bounds the time. With ``patience`` a held-out
    split is scored after every epoch: the best weights are kept, and after so many epochs without
    better ones it stops."""

    epochs: Count
    batch_size: Positive
    lr: Rate
    weight_decay: Fraction
    steps: Count | None = None
    patience: Positive | None = None

    @property
    def none(self) -> bool:
        """Whether nothing is trained."""
        return not self.epochs or self.steps == 0

    def epoch(self, samples: int) -> int:
        """Steps of an epoch."""
        return samples // min(self.batch_size, samples)

    def total(self, samples: int) -> int:
        """Steps in all, unless it stops early."""
        if self.none:
            return 0
        return self.epochs * self.epoch(samples) if self.steps is None else self.steps


@dataclass(frozen=True)
class Training(Schedule):
    """Of the reference: and whether its inputs, and its variants', are mirrored at random; None: as
    suits their source. Only its last ``layers`` are trained, and the head; 0: the head alone, None:
    all of it."""

    flip: bool | None = None
    layers: Count | None = None


@dataclass(frozen=True)
class Examples:
    """What a model is trained on: inputs, labels ``(n,)``, what else such inputs may look like
    (mirrored, say), and, of texts, the same in the language that others are translations of."""

    inputs: Tensor
    labels: Tensor
    augment: Augment = unchanged
    parallel: Tensor | None = None

    def batch(
        self, chosen: Tensor, generator: torch.Generator, place: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Inputs, as they may look, and labels of the chosen indices, where the model lies."""
        x = self.augment(self.inputs[chosen], generator)
        return x.to(place), self.labels[chosen].to(place)


@dataclass(frozen=True)
class Course:
    """How training went: ``steps`` were done, and the weights are those after ``kept``."""

    steps: int
    kept: int


def fit_reference(
    vit: Backbone,
    data: Examples,
    recipe: Training,
    generator: torch.Generator,
    on_step: OnStep = ignore,
    held_out: tuple[Tensor, Tensor] | None = None,
) -> Course:
    """:func:`fit` of the layers that the recipe names; those before them stay as they are, and so
    do the statistics of batch norms in them. The head alone is trained on what it reads, computed
    once: inputs are then not augmented."""
    if recipe.layers is None or recipe.none:
        return fit(vit, data, recipe, generator, on_step, held_out)
    if recipe.layers == 0:
        read = Examples(pooled_of(vit, data.inputs), data.labels)
        scored = held_out and (pooled_of(vit, held_out[0]), held_out[1])
        return fit(vit.head, read, recipe, generator, on_step, scored)
    vit.requires_grad_(False)
    for part in (*vit.blocks[-recipe.layers :], vit.head):
        part.requires_grad_(True)
    course = fit(vit, data, recipe, generator, on_step, held_out)
    vit.requires_grad_(True)
    return course


def fit(
    model: nn.Module,
    data: Examples,
    recipe: Schedule,
    generator: torch.Generator,
    on_step: OnStep = ignore,
    held_out: tuple[Tensor, Tensor] | None = None,
) -> Course:
    """Train in place with AdamW and a one-cycle rate.

    Args:
        held_out: inputs and labels that the recipe's ``patience`` is about; without them it
            trains to the end.
    """
    place, count = device_of(model), len(data.inputs)

    def losses(chosen: Tensor) -> list[Tensor]:
        x, y = data.batch(chosen, generator, place)
        return [F.cross_entropy(model(x), y)]

    steps = recipe.total(count)
    loop = Loop(
        steps,
        recipe.batch_size,
        recipe.lr,
        recipe.weight_decay,
        one_cycle=True,
        fixed_statistics=not all(p.requires_grad for p in model.parameters()),
    )
    if recipe.patience is None or held_out is None:
        train(model, losses, count, loop, generator, on_step)
        return Course(steps, steps)
    best = Best(model, held_out, recipe.epoch(count), recipe.patience, on_step)
    train(model, losses, count, loop, generator, best)
    return best.restore()


class Best:
    """An ``on_step`` that remembers the weights whose loss on held-out data was least, and asks to
    stop when ``patience`` scores in a row, one after ``every`` steps, were no better."""

    def __init__(
        self,
        model: nn.Module,
        held_out: tuple[Tensor, Tensor],
        every: int,
        patience: int,
        on_step: OnStep = ignore,
    ) -> None:
        self.model, self.held_out, self.on_step = model, held_out, on_step
        self.every, self.patience = every, patience
        self.state = copy.deepcopy(model.state_dict())
        self.least, self.kept, self.steps, self.worse = math.inf, 0, 0, 0

    def __call__(self, done: int, total: int, metrics: dict[str, float]) -> bool:
        self.on_step(done, total, metrics)
        self.steps = done
        if done % self.every and done < total:
            return False
        trained = [part for part in self.model.modules() if part.training]
        loss, _ = evaluate(self.model, *self.held_out)
        for part in trained:
            part.training = True
        if loss < self.least:
            self.least, self.kept, self.worse = loss, done, 0
            self.state = copy.deepcopy(self.model.state_dict())
        else:
            self.worse += 1
        return self.worse >= self.patience

    def restore(self) -> Course:
        """Give the model the best weights back."""
        self.model.load_state_dict(self.state)
        return Course(self.steps, self.kept)


def pooled_of(vit: Backbone, inputs: Tensor) -> Tensor:
    """What the reference header reads of inputs ``(n, dim)``, in evaluation mode."""
    vit.eval()
    found = in_batches(vit, lambda x: vit.pooled(vit.encode(x), vit.mask(x)).cpu(), inputs)
    return torch.cat(found)


def logits_of(module: nn.Module, inputs: Tensor) -> Tensor:
    """What a module answers, ``(n, classes)``, in evaluation mode."""
    module.eval()
    return torch.cat(in_batches(module, lambda x: module(x).cpu(), inputs))


def evaluate(module: nn.Module, inputs: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross-entropy and accuracy over all inputs."""
    return scores(logits_of(module, inputs), labels)


def scores(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of logits ``(n, classes)``."""
    accuracy = (logits.argmax(1) == labels).float().mean().item()
    return F.cross_entropy(logits, labels).item(), accuracy


def restricted_accuracy(logits: Tensor, labels: Tensor, classes: Tensor | None) -> float:
    """Accuracy when only the given classes may be answered (None: all): what knowing them gives for
    free."""
    return scores(restricted(logits, classes), labels)[1]
