"""Small pictures of letters and digits in Pillow's own font: as many classes as a test wants, with
few images each, and no two alike."""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LETTERS = string.ascii_letters + string.digits


def write_glyphs(folder: Path, counts: Sequence[int], size: int = 12, seed: int = 0) -> None:
    """A folder of ``counts[i]`` grey images of ``size`` pixels for each class ``i`` (at most 62):
    its letter, turned, moved and with noise."""
    draw = np.random.default_rng(seed)
    for label, count in enumerate(counts):
        place = folder / f"letter-{label:02d}"
        place.mkdir(parents=True)
        for number in range(count):
            glyph(LETTERS[label], size, draw).save(place / f"{number:03d}.png")


def glyph(letter: str, size: int, draw: np.random.Generator) -> Image.Image:
    """One picture of a letter."""
    image = Image.new("L", (size, size))
    middle = tuple(size / 2 + draw.uniform(-1, 1, 2))
    font = ImageFont.load_default(size=float(draw.uniform(0.8, 1.0)) * size)
    ImageDraw.Draw(image).text(middle, letter, fill=255, font=font, anchor="mm")
    turned = np.asarray(image.rotate(float(draw.uniform(-15, 15))), np.float32)
    noisy = turned + draw.normal(0, 12, turned.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
