"""One picture file as pixels. ``acme export`` puts the text of :func:`decoded` into the ``run.py``
that it delivers, so that a device sees a picture as training did: it must stand alone, on numpy and
Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def decoded(path: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The first frame of a picture as uint8 pixels of ``shape`` (channels, height, width).

    It is turned as its orientation tag says and put on white where it is transparent. 16-bit
    numbers are scaled from 0..65535, and floats from 0..1 where they lie there; other numbers, of
    which no file says the range, from the picture's own least to its most. What is no number (NaN)
    counts as the least of the range.

    Raises:
        Exception: it is damaged. Pillow's decoders raise OSError, ValueError, SyntaxError and more.
    """
    from PIL import Image, ImageOps

    channels, height, width = shape
    # a file, not its name: Pillow 13 maps uncompressed TIFFs that it opens by name into memory, and
    # takes their height for their width where they are to be turned on their side
    with path.open("rb") as file, Image.open(file) as opened:
        opened.load()  # else a damaged picture might pass for one with damaged tags
        full = opened.mode.startswith("I;16") or opened.format in ("PNG", "PPM")  # says its range
        try:
            image = ImageOps.exif_transpose(opened)
        except Exception:
            image = opened.copy()  # tags that cannot be read turn nothing
    clear = image.info.get("transparency")
    if image.mode.startswith(("I", "F")):
        numbers = np.asarray(image, np.float64)
        known = numbers[np.isfinite(numbers)]
        if not known.size:
            raise ValueError("no pixel is a number")
        low, high = known.min(), known.max()
        if full and image.mode != "F":
            low, high = 0.0, 65535.0
        elif image.mode == "F" and low >= 0 and high <= 1:
            low, high = 0.0, 1.0
        numbers = np.nan_to_num(numbers, nan=low, posinf=high, neginf=low)
        scaled = np.rint((numbers - low) * (255 / ((high - low) or 1))).astype(np.uint8)
        scaled[numbers == clear] = 255
        image = Image.fromarray(scaled)
    elif image.mode[-1] in "Aa" or clear is not None:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if channels == 1 else "RGB")
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.uint8)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
