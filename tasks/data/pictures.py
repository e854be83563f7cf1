"""Image files, and images of the size and colours that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.data.dataset import Images
from tasks.data.decoding import decoded
from tasks.data.skipped import Skipped, names_of
from tasks.run.errors import DataError
from tasks.run.words import counted

MOST_DAMAGED = 0.05
"""Of images that are read together, as many may be damaged and left out; more end the run."""


def read_image(path: Path, image_size: int, channels: int) -> Images:
    """One image ``(channels, image_size, image_size)``. Raises DataError if it is damaged."""
    try:
        return decoded(path, (channels, image_size, image_size))
    except Exception as error:  # whatever a decoder raises
        raise DataError(f"{path}: not a readable image ({error})") from None


def read_images(
    files: Sequence[Path], classes: Sequence[str], image_size: int, channels: int
) -> tuple[Images, NDArray[np.int64], Skipped]:
    """The images that can be read, their positions among ``files`` (of the ``classes`` beside
    them), and what was skipped.

    Raises:
        DataError: more than :data:`MOST_DAMAGED` are damaged, or all of a class; says which.
    """
    images: list[Images] = []
    kept: list[int] = []
    damaged: dict[int, DataError] = {}
    for at, path in enumerate(files):
        try:
            images.append(read_image(path, image_size, channels))
            kept.append(at)
        except DataError as error:
            damaged[at] = error
    left = {classes[at] for at in kept}
    for at, reason in damaged.items():
        if classes[at] not in left:
            raise DataError(f"{reason}. No image of class {classes[at]} can be read")
    skipped = Skipped(names_of([files[at] for at in damaged]))
    if len(damaged) > MOST_DAMAGED * len(files):
        raise DataError(
            f"{next(iter(damaged.values()))}. {len(damaged):,} of {counted(len(files), 'image')} "
            f"cannot be read, more than {MOST_DAMAGED:.0%}: {skipped.words}. Replace or remove them"
        )
    return np.stack(images), np.array(kept, np.int64), skipped


def fitted(images: Images, image_size: int, channels: int) -> Images:
    """Grey or colour and size as asked; untouched where they are so already."""
    if images.shape[1] == channels and images.shape[2] == images.shape[3] == image_size:
        return images
    from PIL import Image

    def one(image: Images) -> Images:
        picture = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
        picture = picture.convert("L" if channels == 1 else "RGB")
        if picture.size != (image_size, image_size):
            picture = picture.resize((image_size, image_size), Image.Resampling.BILINEAR)
        pixels = np.asarray(picture, np.uint8)
        return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)

    return np.stack([one(image) for image in images])
