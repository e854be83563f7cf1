"""Image files in folders, and images of the size and colours that are asked for."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tasks.data.dataset import Images, Labels
from tasks.data.decoding import decoded
from tasks.data.skipped import Skipped
from tasks.run.errors import DataError
from tasks.run.words import counted

OWN = "devices"  # the folder of images that devices bring themselves; see tasks.data.own
SUFFIXES = {".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".webp", ".gif", ".tif", ".tiff"}
SUFFIXES |= {".pbm", ".pgm", ".ppm", ".pnm"}
SYSTEM = {"__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "Thumbs.db", "desktop.ini"}
"""What operating systems leave behind: as hidden as what begins with a dot."""
MOST_DAMAGED = 0.05
"""Of images that are read together, as many may be damaged and left out; more end the run."""


def subfolders(folder: Path) -> dict[str, Path]:
    """The visible folders in ``folder`` by name, in its order. The same letters are the same name,
    however a file system spells them (Unicode's NFC or NFD).

    Raises:
        DataError: one is a link, which DVC does not follow: its images would not be pinned; or two
            have one name.
    """
    found: dict[str, Path] = {}
    if not folder.is_dir():
        return found
    for place in sorted(p for p in folder.iterdir() if p.is_dir() and not is_hidden(p.name)):
        _require_no_link(place)
        name = unicodedata.normalize("NFC", place.name)
        if name in found:
            raise DataError(f"{place}: there are two folders of this name; put them together")
        found[name] = place
    return found


def is_hidden(name: str) -> bool:
    """Whether a file or folder called so is none of the user's making."""
    return name.startswith(".") or name in SYSTEM


def is_image(name: str) -> bool:
    """Whether a file called so should be an image."""
    return Path(name).suffix.lower() in SUFFIXES


def images_in(folder: Path) -> list[Path]:
    """The visible images directly in a folder."""
    return sorted(
        p for p in folder.iterdir() if is_image(p.name) and not is_hidden(p.name) and p.is_file()
    )


def divides(folder: Path, name: str) -> bool:
    """Whether what is called so in ``folder`` is no class but holds further folders: a class, in
    turn, holds images.

    Raises:
        DataError: it holds both.
    """
    place = folder / name
    if not subfolders(place):
        return False
    if images_in(place):
        raise DataError(
            f"{place}: a class, or a folder of classes? It holds both images and folders. Put its "
            f"images in one of its folders; if it is a class, all of it: {folder}/train/{name}/, "
            "beside the other classes"
        )
    return True


def files_below(folder: Path, some: bool = False) -> tuple[list[Path], list[Path]]:
    """Every visible image below ``folder``, in hidden folders none; and the files of other kinds.

    Raises:
        DataError: ``some`` are needed and there is no image; or a folder is a link, see
            :func:`subfolders`.
    """
    images: list[Path] = []
    others: list[Path] = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        for name in folders:
            _require_no_link(Path(place, name))
        for path in (Path(place, name) for name in files if not is_hidden(name)):
            if path.is_file():
                (images if is_image(path.name) else others).append(path)
    if some and not images:
        beside = f", but {Skipped(other=names_of(others)).words}" if others else ""
        raise DataError(f"{folder}: no images (of {', '.join(sorted(SUFFIXES))}){beside}")
    return sorted(images), sorted(others)


def read_image(path: Path, image_size: int, channels: int) -> Images:
    """One image ``(channels, image_size, image_size)``. Raises DataError if it is damaged."""
    try:
        return decoded(path, (channels, image_size, image_size))
    except Exception as error:  # whatever a decoder raises
        raise DataError(f"{path}: not a readable image ({error})") from None


def read_images(
    by_label: Mapping[int, Sequence[Path]], image_size: int, channels: int
) -> tuple[Images, Labels, Skipped]:
    """The images of each label that can be read, in order, and what was skipped.

    Raises:
        DataError: more than :data:`MOST_DAMAGED` are damaged, or all of a label; says which.
    """
    images: list[Images] = []
    labels: list[int] = []
    damaged: list[Path] = []
    reasons: list[DataError] = []
    for label, files in by_label.items():
        before = len(images)
        for path in files:
            try:
                images.append(read_image(path, image_size, channels))
                labels.append(label)
            except DataError as error:
                damaged.append(path)
                reasons.append(error)
        if files and len(images) == before:
            raise DataError(f"{reasons[-1]}. No image of {files[0].parent} can be read")
    total = sum(map(len, by_label.values()))
    if len(damaged) > MOST_DAMAGED * total:
        raise DataError(
            f"{reasons[0]}. {len(damaged):,} of {counted(total, 'image')} cannot be read, more "
            f"than {MOST_DAMAGED:.0%}: {Skipped(names_of(damaged)).words}. Replace or remove them"
        )
    return np.stack(images), np.array(labels, np.int64), Skipped(names_of(damaged))


def names_of(paths: Sequence[Path]) -> tuple[str, ...]:
    """Paths as :class:`Skipped` holds them."""
    return tuple(path.as_posix() for path in paths)


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


def _require_no_link(folder: Path) -> None:
    if folder.is_symlink():
        raise DataError(
            f"{folder}: a link to a folder cannot be pinned; put the folder itself there"
        )
