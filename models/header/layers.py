"""Layers whose output neurons can be masked while training and removed for shipping.

A *neuron* is one output row of a linear layer or one output channel of a convolution. Activations
keep their full width, so that sums between branches never mismatch: a removed neuron yields
exactly 0, and a sliced layer scatters its surviving rows into zeros. Masked and sliced layers
therefore give the same outputs, provided that what lies between them keeps zeros zero (ReLU, GELU,
pooling and :func:`rms_norm` do).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def rms_norm(x: Tensor, dim: int, eps: float = 1e-6) -> Tensor:
    """``x`` over its root mean square along ``dim``: parameter-free, and keeps zeros zero."""
    return x * torch.rsqrt(x.pow(2).mean(dim, keepdim=True) + eps)


class Prunable(nn.Module):
    """Base of the prunable layers: ``weight (out, in, ...)``, ``bias (out,)``, ``mask (out,)``.

    ``out_index`` and ``in_index`` are empty while the layer has its full shape; :meth:`slice_`
    fills them with the full-width positions of the rows and columns that were kept. The rows of a
    layer with ``classifier=True`` are classes: no device removes them.
    """

    weight: nn.Parameter
    bias: nn.Parameter
    mask: Tensor
    out_index: Tensor
    in_index: Tensor
    channel_dim: int  # where an activation holds its channels: -1 for linear, 1 for convolution

    def __init__(self, out_features: int, in_features: int, classifier: bool = False) -> None:
        super().__init__()
        self.out_features = out_features
        self.in_features = in_features
        self.classifier = classifier
        self.register_buffer("mask", torch.ones(out_features))
        self.register_buffer("out_index", torch.empty(0, dtype=torch.long))
        self.register_buffer("in_index", torch.empty(0, dtype=torch.long))

    @property
    def sliced(self) -> bool:
        """Whether :meth:`slice_` has removed rows or columns from this layer."""
        return self.weight.shape[0] < self.out_features or self.weight.shape[1] < self.in_features

    def slice_(self, out_index: Tensor, in_index: Tensor) -> None:
        """Keep only the given rows and columns (sorted full-width positions), in place."""
        with torch.no_grad():
            self.weight = nn.Parameter(self.weight[out_index][:, in_index].clone())
            self.bias = nn.Parameter(self.bias[out_index].clone())
        self.out_index, self.in_index = out_index, in_index

    def forward(self, x: Tensor) -> Tensor:
        if not self.sliced:
            shape = [1] * x.dim()
            shape[self.channel_dim] = -1
            return self.operate(x) * self.mask.view(shape)
        kept = self.operate(x.index_select(self.channel_dim, self.in_index))
        full = list(kept.shape)
        full[self.channel_dim] = self.out_features
        return kept.new_zeros(full).index_copy(self.channel_dim, self.out_index, kept)

    def operate(self, x: Tensor) -> Tensor:
        """The layer's operation on the kept inputs, giving the kept outputs."""
        raise AssertionError("every prunable layer defines its operation")


class PrunableLinear(Prunable):
    """``nn.Linear`` over the last dimension with prunable output neurons."""

    channel_dim = -1

    def __init__(self, in_features: int, out_features: int, classifier: bool = False) -> None:
        super().__init__(out_features, in_features, classifier)
        reference = nn.Linear(in_features, out_features)
        self.weight, self.bias = nn.Parameter(reference.weight), nn.Parameter(reference.bias)

    def operate(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class PrunableConv(Prunable):
    """A convolution over maps of one or two dimensions (``rank``), with 'same' padding at stride 1
    and prunable output channels."""

    channel_dim = 1

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, rank: int, stride: int = 1
    ) -> None:
        super().__init__(out_channels, in_channels)
        kind = (nn.Conv1d, nn.Conv2d)[rank - 1]
        reference = kind(in_channels, out_channels, kernel)  # for PyTorch's own initialisation
        assert reference.bias is not None
        self.weight, self.bias = nn.Parameter(reference.weight), nn.Parameter(reference.bias)
        self.convolve = (F.conv1d, F.conv2d)[rank - 1]
        self.stride, self.padding = stride, kernel // 2

    def operate(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.weight, self.bias, self.stride, self.padding)
