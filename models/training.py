"""The one training loop and the one loader of index batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.progress import OnStep, ignore

Losses = Callable[[Tensor], Iterable[Tensor]]
"""The losses ``()`` of a batch, given its indices ``(batch,)``. Each is differentiated before the
next is asked for, so that the graph of one at a time is in memory."""


@dataclass(frozen=True)
class Loop:
    """How long and how fast a loop trains: AdamW, with a rate that falls as a cosine or, with
    ``one_cycle``, first rises to ``lr``. With ``fixed_statistics`` batch norms stay at the mean and
    variance that they have learned, as they do when the model is used."""

    steps: int
    batch_size: int
    lr: float
    weight_decay: float = 0.01
    one_cycle: bool = False
    fixed_statistics: bool = False


def train(
    module: nn.Module,
    losses: Losses,
    count: int,
    loop: Loop,
    generator: torch.Generator,
    on_step: OnStep = ignore,
) -> None:
    """Train ``module`` in place on the sum of each batch's losses; ``count`` is how many samples
    the batches are drawn from. It stops early where ``on_step`` asks for it."""
    steps = max(1, loop.steps)
    optimizer = torch.optim.AdamW(module.parameters(), lr=loop.lr, weight_decay=loop.weight_decay)
    schedule = (
        torch.optim.lr_scheduler.OneCycleLR(optimizer, loop.lr, total_steps=steps)
        if loop.one_cycle
        else torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    )
    batches = endless(count, loop.batch_size, generator)
    module.train()
    if loop.fixed_statistics:
        fix_statistics(module)
    for step in range(loop.steps):
        optimizer.zero_grad()
        total = 0.0
        for loss in losses(next(batches)):
            loss.backward()
            total += loss.item()
        optimizer.step()
        schedule.step()
        if on_step(step + 1, loop.steps, {"loss": total}):
            break
    module.eval()


def fix_statistics(module: nn.Module) -> None:
    """Let the batch norms of a module in training mode use what they have learned."""
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()


def endless(
    count: int, batch_size: int, generator: torch.Generator, *, joined: bool = False
) -> Iterator[Tensor]:
    """Index batches for ever: fresh permutations of ``count`` samples, cut.

    What an epoch leaves over is dropped, and a batch is never larger than an epoch; ``joined``
    puts it before the next epoch instead, so that every batch has exactly ``batch_size``.
    """
    size = batch_size if joined else min(batch_size, count)
    left = torch.empty(0, dtype=torch.long)
    while True:
        while len(left) < size:
            fresh = torch.randperm(count, generator=generator)
            left = torch.cat([left, fresh]) if joined else fresh
        yield left[:size]
        left = left[size:]
