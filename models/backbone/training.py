"""Training a whole model on labelled inputs, and scoring one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbone.family import Augment
from models.progress import OnStep, ignore
from models.ranges import Count, Fraction, Positive, Rate
from models.training import Loop, train


@dataclass(frozen=True)
class Training:
    """How a whole model is trained on the public train split."""

    epochs: Count
    batch_size: Positive
    lr: Rate
    weight_decay: Fraction


def device_of(module: nn.Module) -> torch.device:
    """Where a module's parameters lie."""
    return next(module.parameters()).device


def fit(
    model: nn.Module,
    data: tuple[Tensor, Tensor],
    recipe: Training,
    generator: torch.Generator,
    augment: Augment,
    on_step: OnStep = ignore,
) -> None:
    """Train in place with AdamW and a one-cycle rate on inputs and labels ``(n,)``; what a family
    is augmented by is in its record."""
    inputs, labels = data
    place = device_of(model)

    def losses(chosen: Tensor) -> list[Tensor]:
        x = augment(inputs[chosen], generator).to(place)
        return [F.cross_entropy(model(x), labels[chosen].to(place))]

    steps = recipe.epochs * (len(inputs) // min(recipe.batch_size, len(inputs)))
    loop = Loop(steps, recipe.batch_size, recipe.lr, recipe.weight_decay, one_cycle=True)
    train(model, losses, len(inputs), loop, generator, on_step)


@torch.no_grad()
def logits_of(module: nn.Module, images: Tensor, batch_size: int = 256) -> Tensor:
    """What a module answers, ``(n, classes)``, in evaluation mode."""
    place = device_of(module)
    module.eval()
    return torch.cat([module(chunk.to(place)).cpu() for chunk in images.split(batch_size)])


def evaluate(
    module: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 256
) -> tuple[float, float]:
    """Mean cross-entropy and accuracy over all images."""
    return scores(logits_of(module, images, batch_size), labels)


def scores(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of logits ``(n, classes)``."""
    accuracy = (logits.argmax(1) == labels).float().mean().item()
    return F.cross_entropy(logits, labels).item(), accuracy


def restricted_accuracy(logits: Tensor, labels: Tensor, classes: Tensor) -> float:
    """Accuracy when only the given classes may be answered: what knowing them gives for free."""
    allowed = torch.full_like(logits[0], float("-inf"))
    allowed[classes] = 0
    return ((logits + allowed).argmax(1) == labels).float().mean().item()
