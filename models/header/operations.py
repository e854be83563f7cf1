"""What a block of a searched header may do to a map: the registry of operations."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.header.layers import PrunableConv, rms_norm
from models.header.maps import Mask, real


class Convolution(nn.Module):
    """Pre-activated convolution: norm, ReLU, convolution of ``kernel`` positions a side."""

    def __init__(self, channels: int, rank: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = PrunableConv(channels, channels, kernel, rank, stride)

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        return real(self.conv(F.relu(rms_norm(x, 1))), mask)


class Identity(nn.Module):
    """Nothing."""

    def __init__(self, channels: int, rank: int) -> None:
        super().__init__()

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        return x


class AveragePool(nn.Module):
    """The mean of three positions a side; beyond the border, and in padding, are zeros."""

    def __init__(self, channels: int, rank: int) -> None:
        super().__init__()
        self.pool = (F.avg_pool1d, F.avg_pool2d)[rank - 1]

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        return real(self.pool(x, 3, 1, 1), mask)


class MaxPool(nn.Module):
    """The largest of three real positions a side."""

    def __init__(self, channels: int, rank: int) -> None:
        super().__init__()
        self.pool = (F.max_pool1d, F.max_pool2d)[rank - 1]

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        if mask is None:
            return self.pool(x, 3, 1, 1)
        lowest = torch.finfo(x.dtype).min
        return real(self.pool(real(x, mask, lowest), 3, 1, 1), mask)


OPERATIONS: dict[str, Callable[[int, int], nn.Module]] = {
    "conv1": partial(Convolution, kernel=1),
    "conv3": partial(Convolution, kernel=3),
    "conv5": partial(Convolution, kernel=5),
    "identity": Identity,
    "downsample": partial(Convolution, kernel=3, stride=2),
    "avgpool": AveragePool,
    "maxpool": MaxPool,
}
"""Each makes a fresh module of a number of channels and of dimensions (1 or 2). It takes a map and
its mask, and gives a map of as many channels, with 0 where there is padding."""
