"""What delivery costs and keeps: measured on this machine, on the device's validation data."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tasks.delivery.formats import Runner
from tasks.run.errors import DeliveryError
from tasks.run.latency import seconds_a_call

BATCHES = (1, 2, 7)  # that outputs are compared for
TIMED = (1, 32)
TOLERANCE = 1e-4
REPEATS = 40


def largest_difference(ours: Runner, theirs: Runner, inputs: Tensor) -> float:
    """The largest difference of two models' logits, over batches of several sizes."""
    return max(float((ours(inputs[:n]) - theirs(inputs[:n])).abs().max()) for n in BATCHES)


def require_equal(difference: float, name: str) -> None:
    """Raises DeliveryError if an exported model is not the one that was exported."""
    if not difference <= TOLERANCE:
        raise DeliveryError(
            f"the {name} model differs from torch's by {difference:.2e} (at most {TOLERANCE:.0e} "
            "is allowed): nothing is delivered. Try another --format, and report this"
        )


def accuracy(model: Runner, inputs: Tensor, labels: Tensor) -> float:
    """Fraction of the samples that a model gets right."""
    logits = torch.cat([model(part) for part in inputs.split(256)])
    return float((logits.argmax(1) == labels).float().mean())


def latency(model: Runner, inputs: Tensor) -> dict[str, float]:
    """Measured p50 and p90 in seconds of one call, by batch size."""
    found = {}
    for batch in TIMED:
        example = inputs[torch.arange(batch) % len(inputs)].contiguous()
        times = seconds_a_call(model, example, REPEATS)
        for p in (50, 90):
            found[f"p{p}_batch{batch}_s"] = float(np.percentile(times, p))
    return found
