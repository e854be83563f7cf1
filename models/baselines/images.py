"""What a model of images is built for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Images:
    """Square images of ``size`` pixels, cut into patches of ``patch`` pixels, and their classes."""

    size: int
    patch: int
    channels: int
    classes: int
