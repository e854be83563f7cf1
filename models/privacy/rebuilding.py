"""What a sample can be rebuilt as: a decoder of what a backbone makes of images, to pixels."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.training import Loop, train

HIDDEN = 512
LOOP = Loop(steps=700, batch_size=128, lr=2e-3)


def fit_decoder(features: Tensor, images: Tensor, seed: int, loop: Loop = LOOP) -> nn.Module:
    """From features ``(n, features)`` to pixels ``(n, pixels)``, on public images."""
    stream = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = nn.Sequential(
            nn.Linear(features.shape[1], HIDDEN), nn.GELU(), nn.Linear(HIDDEN, images.shape[1])
        )

    def losses(chosen: Tensor) -> Iterator[Tensor]:
        yield F.mse_loss(decoder(features[chosen]), images[chosen])

    train(decoder, losses, len(images), loop, stream)
    return decoder.requires_grad_(False)


def nearest(images: Tensor, guesses: Tensor) -> Tensor:
    """The correlation of each image ``(n, pixels)`` with the guess ``(guesses, pixels)`` that it
    correlates with most ``(n,)``."""
    return (_unit(images) @ _unit(guesses).T).max(1).values


def correlation(images: Tensor, guesses: Tensor) -> Tensor:
    """Of each image with its guess, both ``(n, pixels)``: ``(n,)``."""
    return (_unit(images) * _unit(guesses)).sum(1)


def _unit(images: Tensor) -> Tensor:
    return F.normalize(images - images.mean(1, keepdim=True), dim=1)
