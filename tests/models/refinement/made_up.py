"""Made-up devices: classes are clouds around their own centres, a context moves them all."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.header.build import build_header
from models.header.config import HeaderConfig
from models.header.split import Split
from models.refinement.basis import Basis, fit_basis, tokens_read

CONFIG = HeaderConfig("linear", 8, (2, 2), 4, channels=4, hidden=6)
CLASSES = (0, 1, 2)


def world(seed: int = 0, apart: float = 2.5) -> World:
    """The same classes, so far apart, and contexts in every test of one seed."""
    return World(torch.Generator().manual_seed(seed), apart)


class World:
    """Samples ``(n, 2, 5, 8)`` of four classes, in any of some contexts; of a linear header it
    reads 8 numbers."""

    def __init__(self, stream: torch.Generator, apart: float) -> None:
        self.stream = stream
        self.centres = apart * torch.randn(4, 8, generator=stream)
        self.contexts = 5 * torch.randn(3, 8, generator=stream)
        self.scales = 0.5 + torch.rand(8, generator=stream)

    def split(self, count: int, context: int | None = None, classes=CLASSES) -> Split:
        """``count`` samples of each class; without a context they are public ones."""
        labels = torch.tensor(classes).repeat_interleave(count)
        noise = torch.randn(len(labels), 2, 5, 8, generator=self.stream)
        features = self.centres[labels, None, None] + self.scales * noise
        if context is not None:
            features = features * self._turn(context) + self.contexts[context]
        return Split(features, labels)

    def _turn(self, context: int) -> Tensor:
        """A context turns some of what tells classes apart around."""
        return torch.where(torch.arange(8) % 3 == context % 3, -1.0, 1.0)

    def basis(self, rank: int = 6) -> Basis:
        """Of public data."""
        public = self.split(60, classes=(0, 1, 2, 3))
        return fit_basis(public, tokens_read(CONFIG), rank)


def fitted(train: Split) -> nn.Module:
    """A linear header: ridge regression to the classes of all samples at once."""
    header = build_header(CONFIG)
    inputs = nn.functional.pad(train.features[:, 0, 0], (0, 1), value=1.0)
    targets = nn.functional.one_hot(train.labels, CONFIG.classes).float()
    solved = torch.linalg.solve(inputs.T @ inputs + torch.eye(9), inputs.T @ targets)
    header.load_state_dict(
        {**header.state_dict(), "skip.weight": solved[:-1].T, "skip.bias": solved[-1]}
    )
    return header


@torch.no_grad()
def accuracy(header: nn.Module, test: Split) -> float:
    return (header(test.features).argmax(1) == test.labels).float().mean().item()
