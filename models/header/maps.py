"""Tokens as maps: ``(n, channels, h, w)`` of an image, ``(n, channels, t)`` of a sequence.

A mask ``(n, 1, ...)`` of a map says which positions are real; the others are padding, hold 0
between any two operations, and take no part in a mean. Without a mask all are real.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

Mask = Tensor | None


def to_map(tokens: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Tokens ``(n, 1 + positions, dim)`` without [CLS] as a map ``(n, dim, *shape)``."""
    return tokens[:, 1:].transpose(1, 2).unflatten(2, shape)


def mask_of(mask: Mask, shape: tuple[int, ...]) -> Mask:
    """The mask of a map, from that of its tokens ``(n, 1 + positions)``."""
    return None if mask is None else mask[:, None, 1:].unflatten(2, shape)


def beside(cls: Tensor, x: Tensor) -> Tensor:
    """[CLS] ``(n, dim)`` so that it broadcasts over a map."""
    return cls[(..., *[None] * (x.dim() - 2))]


def real(x: Tensor, mask: Mask, padding: float = 0) -> Tensor:
    """A map with 0 (or another value) where there is padding."""
    return x if mask is None else x.masked_fill(~_thinned(mask, x), padding)


def mean(x: Tensor, mask: Mask) -> Tensor:
    """The mean of a map over its real positions ``(n, channels)``."""
    over = tuple(range(2, x.dim()))
    if mask is None:
        return x.mean(over)
    thinned = _thinned(mask, x)
    return real(x, mask).sum(over) / thinned.sum(over).clamp_min(1)


def mean_token(x: Tensor, mask: Mask) -> Tensor:
    """The mean of tokens ``(n, tokens, dim)`` over those that are real."""
    if mask is None:
        return x.mean(1)
    return real_tokens(x, mask).sum(1) / mask.sum(1, keepdim=True)


def real_tokens(x: Tensor, mask: Mask) -> Tensor:
    """Tokens ``(n, tokens, dim)`` with 0 where there is padding."""
    return x if mask is None else x.masked_fill(~mask[:, :, None], 0)


def add(a: Tensor, b: Tensor, mask: Mask = None) -> Tensor:
    """Element-wise sum; the larger map is average-pooled to the smaller one's shape."""
    size = min(a.shape[2:], b.shape[2:])
    return _pooled(a, size, mask) + _pooled(b, size, mask)


def _pooled(x: Tensor, size: tuple[int, ...], mask: Mask) -> Tensor:
    if x.shape[2:] == size:
        return x
    pool: Callable[..., Tensor] = F.adaptive_avg_pool1d if x.dim() == 3 else F.adaptive_avg_pool2d
    if mask is None:
        return pool(x, size)
    share = pool(_thinned(mask, x).to(x.dtype), size)
    return real(pool(x, size) / share.clamp_min(1e-6), mask)


def _thinned(mask: Tensor, x: Tensor) -> Tensor:
    """The mask of a map that was downsampled: every second position of each dimension is left."""
    while mask.shape[2:] != x.shape[2:]:
        mask = mask[:, :, ::2] if mask.dim() == 3 else mask[:, :, ::2, ::2]
    return mask
