"""Folders of image files, or of texts: what in them is a class, a split or a device, and what is
never looked at."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection
from pathlib import Path

from tasks.data.skipped import Skipped, names_of
from tasks.run.errors import DataError

OWN = "devices"  # the folder of images that devices bring themselves; see tasks.data.own
SUFFIXES = {".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".webp", ".gif", ".tif", ".tiff"}
SUFFIXES |= {".pbm", ".pgm", ".ppm", ".pnm"}
TEXTS = {".txt"}
SYSTEM = {"__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "Thumbs.db", "desktop.ini"}
"""What operating systems leave behind: as hidden as what begins with a dot."""


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


def is_image(name: str, suffixes: Collection[str] = SUFFIXES) -> bool:
    """Whether a file called so should be an image, or what else has such ``suffixes``."""
    return Path(name).suffix.lower() in suffixes


def images_in(folder: Path, suffixes: Collection[str] = SUFFIXES) -> list[Path]:
    """The visible images, or what else has such ``suffixes``, directly in a folder."""
    found = (p for p in folder.iterdir() if is_image(p.name, suffixes) and not is_hidden(p.name))
    return sorted(path for path in found if path.is_file())


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


def files_below(
    folder: Path, some: bool = False, suffixes: Collection[str] = SUFFIXES
) -> tuple[list[Path], list[Path]]:
    """Every visible image below ``folder``, or what else has such ``suffixes``, in hidden folders
    none; and the files of other kinds.

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
                (images if is_image(path.name, suffixes) else others).append(path)
    if some and not images:
        beside = f", but {Skipped(other=names_of(others)).words}" if others else ""
        what = "texts" if suffixes == TEXTS else "images"
        raise DataError(f"{folder}: no {what} (of {', '.join(sorted(suffixes))}){beside}")
    return sorted(images), sorted(others)


def _require_no_link(folder: Path) -> None:
    if folder.is_symlink():
        raise DataError(
            f"{folder}: a link to a folder cannot be pinned; put the folder itself there"
        )
