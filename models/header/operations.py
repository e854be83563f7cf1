"""What a block of a searched header may do to a map: the registry of operations."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from models.header.layers import PrunableConv2d, rms_norm


class Convolution(nn.Module):
    """Pre-activated convolution: norm, ReLU, ``z x z`` convolution."""

    def __init__(self, channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = PrunableConv2d(channels, channels, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.relu(rms_norm(x, 1)))


def identity(channels: int) -> nn.Module:
    """Nothing."""
    return nn.Identity()


def average_pool(channels: int) -> nn.Module:
    """The mean of three by three."""
    return nn.AvgPool2d(3, 1, 1)


def max_pool(channels: int) -> nn.Module:
    """The largest of three by three."""
    return nn.MaxPool2d(3, 1, 1)


OPERATIONS: dict[str, Callable[[int], nn.Module]] = {
    "conv1": partial(Convolution, kernel=1),
    "conv3": partial(Convolution, kernel=3),
    "conv5": partial(Convolution, kernel=5),
    "identity": identity,
    "downsample": partial(Convolution, kernel=3, stride=2),
    "avgpool": average_pool,
    "maxpool": max_pool,
}
"""Each makes a fresh module from maps of so many channels to maps of as many."""
