"""The fixed headers that the search is compared with, after Bakhtiarnia et al. (BMVC 2021)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.header.config import HeaderConfig
from models.header.layers import PrunableConv, PrunableLinear, rms_norm
from models.header.maps import Mask, beside, mask_of, mean, mean_token, real, real_tokens, to_map


class LinearHeader(nn.Module):
    """[CLS] to logits: the ViT's own header."""

    def __init__(self, shape: HeaderConfig) -> None:
        super().__init__()
        self.skip = PrunableLinear(shape.dim, shape.classes, classifier=True)

    def forward(self, features: Tensor, mask: Mask = None) -> Tensor:
        return self.skip(features[:, 0, 0])


class MeanPoolHeader(nn.Module):
    """The mean token of the positions to logits; [CLS], or what stands in its place, is not
    read."""

    def __init__(self, shape: HeaderConfig) -> None:
        super().__init__()
        self.shape = shape.shape
        self.classifier = PrunableLinear(shape.dim, shape.classes, classifier=True)

    def forward(self, features: Tensor, mask: Mask = None) -> Tensor:
        x, mask = to_map(features[:, 0], self.shape), mask_of(mask, self.shape)
        return self.classifier(mean(x, mask))


class MLPHeader(nn.Module):
    """[CLS] through one hidden layer."""

    def __init__(self, shape: HeaderConfig) -> None:
        super().__init__()
        dim, hidden = shape.dim, shape.hidden
        self.hidden = PrunableLinear(dim, hidden)
        self.classifier = PrunableLinear(hidden, shape.classes, classifier=True)

    def forward(self, features: Tensor, mask: Mask = None) -> Tensor:
        return self.classifier(F.gelu(self.hidden(features[:, 0, 0])))


class CNNHeader(nn.Module):
    """Two convolutions on the last layer's patch tokens, pooled.

    ``mode`` says what becomes of [CLS]: ``ignore`` drops it, ``add`` adds it to every patch token,
    ``project`` joins it to every patch token before the first (1 x 1) convolution.
    """

    def __init__(self, shape: HeaderConfig, mode: str) -> None:
        super().__init__()
        dim, channels, rank = shape.dim, shape.channels, len(shape.shape)
        self.mode, self.shape = mode, shape.shape
        self.stem = PrunableConv(2 * dim if mode == "project" else dim, channels, 1, rank)
        self.conv = PrunableConv(channels, channels, 3, rank)
        self.classifier = PrunableLinear(channels, shape.classes, classifier=True)

    def forward(self, features: Tensor, mask: Mask = None) -> Tensor:
        tokens = features[:, 0]
        x, mask = to_map(tokens, self.shape), mask_of(mask, self.shape)
        cls = beside(tokens[:, 0], x)
        if self.mode == "add":
            x = x + cls
        elif self.mode == "project":
            x = torch.cat([x, cls.expand_as(x)], 1)
        x = F.relu(self.conv(real(F.relu(self.stem(x)), mask)))
        return self.classifier(mean(x, mask))


class MixerHeader(nn.Module):
    """One MLP-Mixer layer over all tokens, then their mean."""

    def __init__(self, shape: HeaderConfig) -> None:
        super().__init__()
        dim, hidden = shape.dim, shape.hidden
        tokens = 1 + math.prod(shape.shape)
        self.token_in = PrunableLinear(tokens, hidden)
        self.token_out = PrunableLinear(hidden, tokens)
        self.channel_in = PrunableLinear(dim, hidden)
        self.channel_out = PrunableLinear(hidden, dim)
        self.classifier = PrunableLinear(dim, shape.classes, classifier=True)

    def forward(self, features: Tensor, mask: Mask = None) -> Tensor:
        x = real_tokens(features[:, 0], mask)
        mixed = self.token_out(F.gelu(self.token_in(rms_norm(x, 2).transpose(1, 2))))
        x = x + mixed.transpose(1, 2)
        x = x + self.channel_out(F.gelu(self.channel_in(rms_norm(x, 2))))
        return self.classifier(mean_token(rms_norm(x, 2), mask))


class ResMLPHeader(nn.Module):
    """One ResMLP layer over all tokens, then their mean: one linear map between tokens, and a
    two-layer perceptron between channels."""

    def __init__(self, shape: HeaderConfig) -> None:
        super().__init__()
        dim, hidden = shape.dim, shape.hidden
        tokens = 1 + math.prod(shape.shape)
        self.across = PrunableLinear(tokens, tokens)
        self.channel_in = PrunableLinear(dim, hidden)
        self.channel_out = PrunableLinear(hidden, dim)
        self.classifier = PrunableLinear(dim, shape.classes, classifier=True)

    def forward(self, features: Tensor, mask: Mask = None) -> Tensor:
        x = real_tokens(features[:, 0], mask)
        x = x + self.across(rms_norm(x, 2).transpose(1, 2)).transpose(1, 2)
        x = x + self.channel_out(F.gelu(self.channel_in(rms_norm(x, 2))))
        return self.classifier(mean_token(rms_norm(x, 2), mask))


class ViTHeader(nn.Module):
    """One Transformer layer (a single head of ``hidden`` dimensions) over all tokens; [CLS] is
    classified."""

    def __init__(self, shape: HeaderConfig) -> None:
        super().__init__()
        dim, hidden = shape.dim, shape.hidden
        self.query = PrunableLinear(dim, hidden)
        self.key = PrunableLinear(dim, hidden)
        self.value = PrunableLinear(dim, hidden)
        self.out = PrunableLinear(hidden, dim)
        self.channel_in = PrunableLinear(dim, hidden)
        self.channel_out = PrunableLinear(hidden, dim)
        self.classifier = PrunableLinear(dim, shape.classes, classifier=True)

    def forward(self, features: Tensor, mask: Mask = None) -> Tensor:
        x = features[:, 0]
        inner = rms_norm(x, 2)
        mixed = F.scaled_dot_product_attention(
            self.query(inner[:, :1]),
            self.key(inner),
            self.value(inner),
            attn_mask=None if mask is None else mask[:, None],
        )
        cls = x[:, :1] + self.out(mixed)  # nothing but [CLS] is read later
        cls = cls + self.channel_out(F.gelu(self.channel_in(rms_norm(cls, 2))))
        return self.classifier(rms_norm(cls, 2)[:, 0])
