"""Which classes a model answers: a device has some of them, and its model need answer no others."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.ranges import Answerable

SILENT = -1e4
"""The logit of a class that is not answered: its share of a softmax is 0, and it is a number in
half precision too."""


def answered(answerable: Answerable, labels: Tensor, wanted: Tensor | None = None) -> Tensor | None:
    """The classes, in order, that a device with such ``labels``, which wants those classes beside
    them (None: no others), has answered; None: all of them."""
    if answerable == "all":
        return None
    if answerable == "own" or wanted is None:
        return labels.unique()
    return torch.cat([labels, wanted]).unique()


def restricted(logits: Tensor, classes: Tensor | None) -> Tensor:
    """``logits`` ``(n, classes)`` that answer only the given classes; None: as they are."""
    if classes is None:
        return logits
    return logits.masked_fill(silent(classes, logits.shape[1]).to(logits.device), SILENT)


def silent(classes: Tensor, count: int) -> Tensor:
    """True ``(count,)`` at all classes but the given ones."""
    found = torch.ones(count, dtype=torch.bool)
    found[classes] = False
    return found


class Restricted(nn.Module):
    """A header as it ships: what it takes is the header's, its answers are :func:`restricted`."""

    silent: Tensor

    def __init__(self, header: nn.Module, unanswered: Tensor) -> None:
        super().__init__()
        self.header = header
        self.register_buffer("silent", unanswered)

    def forward(self, *inputs: Tensor) -> Tensor:
        logits: Tensor = self.header(*inputs)
        return logits.masked_fill(self.silent, SILENT)
