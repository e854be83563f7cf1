"""Image files in folders, and images of the size and colours that are asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tasks.data.dataset import Images
from tasks.run.errors import DataError

OWN = "devices"  # the folder of images that devices bring themselves; see tasks.data.own
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}


def class_folders(folder: Path) -> list[Path]:
    """The visible folders in ``folder`` that are not the devices' own."""
    return [p for p in subfolders(folder) if p.name != OWN]


def subfolders(folder: Path) -> list[Path]:
    """The visible folders in ``folder``, by name.

    Raises:
        DataError: one is a link, which DVC does not follow: its images would not be pinned.
    """
    if not folder.is_dir():
        return []
    found = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    for link in (p for p in found if p.is_symlink()):
        raise DataError(f"{link}: a link to a folder cannot be pinned; put the folder itself there")
    return found


def image_files(folder: Path) -> list[Path]:
    """Every visible image below ``folder``. Raises DataError if there is none."""
    files = sorted(
        p
        for p in folder.rglob("*")
        if p.suffix.lower() in SUFFIXES and p.is_file() and not p.name.startswith(".")
    )
    if not files:
        raise DataError(f"{folder}: no images (of {', '.join(sorted(SUFFIXES))})")
    return files


def read_image(path: Path, image_size: int, channels: int) -> Images:
    """One image ``(channels, image_size, image_size)``. Raises DataError if it is damaged."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            mode = "L" if channels == 1 else "RGB"
            resized = image.convert(mode).resize(
                (image_size, image_size), Image.Resampling.BILINEAR
            )
    except Exception as error:  # PIL's decoders raise OSError, ValueError, SyntaxError and others
        raise DataError(f"{path}: not a readable image ({error})") from None
    pixels = np.asarray(resized, np.uint8)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


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
