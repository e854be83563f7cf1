"""A model over many inputs: in batches that a processor's caches hold, one on each thread."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor, nn

from models.backbone.family import Backbone

T = TypeVar("T")

MOST = 256
AT_ONCE = 400_000
"""Numbers of one layer's tokens that a batch has on a CPU: what its layers widen them to, some four
times as much, then stays in the caches."""


def device_of(module: nn.Module) -> torch.device:
    """Where a module's parameters lie."""
    return next(module.parameters()).device


def in_batches(
    module: nn.Module, read: Callable[[Tensor], T], inputs: Tensor, most: int | None = None
) -> list[T]:
    """What ``read`` makes of all inputs, a batch at a time, in their order and without gradients.

    On a CPU as many batches are read at once as torch has threads, each on one: that keeps all of
    them busy, which one operation after the other does not (``benchmarks/shared_work.py``).

    Args:
        module: the model that ``read`` runs, in evaluation mode; several threads run it at once.
        read: a batch, where the module lies, to what is wanted of it.
        most: inputs of a batch; None: as suits the module and the place.
    """
    place, threads = device_of(module), torch.get_num_threads()
    size = most or _size(module, place)

    @torch.no_grad()
    def one(batch: Tensor) -> T:
        return read(batch.to(place))

    if place.type != "cpu" or threads == 1 or len(inputs) < 2:
        return [one(batch) for batch in inputs.split(size)]
    batches = inputs.split(min(size, math.ceil(len(inputs) / threads)))
    try:
        with ThreadPoolExecutor(threads, "batch", torch.set_num_threads, (1,)) as pool:
            return list(pool.map(one, batches))
    finally:  # what a worker is told, threads that start later are told too
        torch.set_num_threads(threads)


def _size(module: nn.Module, place: torch.device) -> int:
    backbone = next((part for part in module.modules() if isinstance(part, Backbone)), None)
    if backbone is None or place.type != "cpu":
        return MOST
    config = backbone.config
    return max(1, min(MOST, AT_ONCE // (config.dim * (config.prefix + config.positions))))
