"""Training a whole ViT on labelled images, and scoring one."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbone.config import ViT
from models.progress import OnStep, ignore


def device_of(module: nn.Module) -> torch.device:
    """Where a module's parameters lie."""
    return next(module.parameters()).device


def batches(count: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Index batches of one epoch in random order; what is left over at the end is dropped."""
    order = torch.randperm(count, generator=generator)
    size = min(batch_size, count)
    for start in range(0, count - size + 1, size):
        yield order[start : start + size]


def endless(count: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Index batches for ever, epoch after epoch."""
    while True:
        yield from batches(count, batch_size, generator)


def flipped(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image mirrored left to right with probability 1/2."""
    chosen = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(-1), images)


def fit(
    vit: ViT,
    images: Tensor,
    labels: Tensor,
    *,
    epochs: int,
    batch_size: int,
    lr: float,
    weight_decay: float,
    generator: torch.Generator,
    on_step: OnStep = ignore,
) -> None:
    """Train in place with AdamW and a one-cycle rate; images ``(n, c, h, w)``, labels ``(n,)``."""
    place = device_of(vit)
    steps = epochs * (len(images) // min(batch_size, len(images)))
    if steps == 0:
        return
    optimizer = torch.optim.AdamW(vit.parameters(), lr=lr, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    vit.train()
    source = endless(len(images), batch_size, generator)
    for step in range(steps):
        chosen = next(source)
        x = flipped(images[chosen], generator).to(place)
        loss = F.cross_entropy(vit(x), labels[chosen].to(place))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        on_step(step + 1, steps, {"loss": loss.item()})
    vit.eval()


@torch.no_grad()
def evaluate(
    module: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 256
) -> tuple[float, float]:
    """Mean cross-entropy and accuracy over all images."""
    place = device_of(module)
    module.eval()
    logits = torch.cat([module(chunk.to(place)).cpu() for chunk in images.split(batch_size)])
    return scores(logits, labels)


def scores(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of logits ``(n, classes)``."""
    accuracy = (logits.argmax(1) == labels).float().mean().item()
    return F.cross_entropy(logits, labels).item(), accuracy


def restricted_accuracy(logits: Tensor, labels: Tensor, classes: Tensor) -> float:
    """Accuracy when only the given classes may be answered: what knowing them gives for free."""
    allowed = torch.full_like(logits[0], float("-inf"))
    allowed[classes] = 0
    return ((logits + allowed).argmax(1) == labels).float().mean().item()
