"""How long a model takes on this machine: the one timer of reports, deliveries and profiles."""

from __future__ import annotations

import logging
from collections.abc import Callable
from timeit import Timer

from torch import Tensor

WARM_UP = 1


def seconds_a_call(
    model: Callable[..., object],
    example: Tensor | tuple[Tensor, ...],
    repeats: int,
    at_least_s: float = 0.0,
) -> list[float]:
    """Measured seconds of single calls of ``model(example)`` (several arguments as a tuple), after
    one that warms up, on as many threads as torch uses now; a GPU is waited for. At least
    ``repeats`` of them, and as many as take ``at_least_s`` together."""
    # it looks for a compiler of CUDA when it is imported, and complains where there is no GPU
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    from torch.utils.benchmark import timer

    inputs = example if isinstance(example, tuple) else (example,)
    clock = Timer(lambda: model(*inputs), timer=timer)
    clock.timeit(WARM_UP)
    found: list[float] = []
    while len(found) < repeats or sum(found) < at_least_s:
        found.append(clock.timeit(1))
    return found
