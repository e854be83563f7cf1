"""Images that a device brings itself: ``<data>/devices/<device>/<class>/*.png``.

They belong to that device alone, are pinned with the rest of the data, and are never shared. Which
split an image falls into depends on its content, so that images that come later move none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.data.dataset import Images, Labels, content_hashes
from tasks.data.partition import Source
from tasks.data.pictures import (
    OWN,
    divides,
    files_below,
    images_in,
    names_of,
    read_images,
    subfolders,
)
from tasks.data.skipped import Skipped
from tasks.run.errors import DataError

PREFIX = "own"
Brought = dict[str, tuple[Images, Labels]]
"""Images and labels of each device that brings some, by :func:`source_name`."""


def load(
    folder: Path, devices: Mapping[str, int], classes: Sequence[str], size: int, channels: int
) -> tuple[Brought, Skipped]:
    """Images ``(n, channels, size, size)`` and labels of every device that brings some, by the name
    that sample ids begin with (``own`` and the device's id); and what of them was not read.

    Args:
        devices: ids of the fleet's devices by name.

    Raises:
        DataError: a folder is of no device of the fleet or of no class, or too many images of a
            device are damaged.
    """
    found: Brought = {}
    skipped = Skipped()
    for name, place in _folders(folder).items():
        if name not in devices:
            raise DataError(
                f"{place}: the fleet has no such device. Name the folder after one, or remove it"
            )
        by_label, other = _files(place, classes)
        images, labels, damaged = read_images(by_label, size, channels)
        found[source_name(devices[name])] = images, labels
        skipped += damaged + Skipped(other=names_of(other))
    return found, skipped


def count(folder: Path, device: str) -> tuple[int, int]:
    """How many images a device brings, of how many classes, by the names of the files alone."""
    place = _folders(folder).get(device)
    classes = subfolders(place).values() if place else ()
    of_classes = [len(files_below(at, some=True)[0]) for at in classes]
    return sum(of_classes), len(of_classes)


def source_name(device_id: int) -> str:
    """What the ids of a device's own samples begin with."""
    return f"{PREFIX}{device_id:02d}"


def class_folder(name: str) -> str:
    """The folder of a class: its name, without the slash that no folder's name can hold."""
    return name.replace("/", "-")


def as_source(
    name: str, images: Images, labels: NDArray[np.int64], known: Collection[str]
) -> Source:
    """A device's images as a source; contents in ``known`` (hashes) or seen before are left out."""
    hashes = content_hashes(images)
    _, first = np.unique(hashes, return_index=True)
    usable = np.array([i for i in np.sort(first) if hashes[i] not in known], np.int64)
    return Source(name, labels, hashes, usable)


def _folders(folder: Path) -> dict[str, Path]:
    """The devices' own folders in the data; none where a class is called as they are."""
    return subfolders(folder / OWN) if divides(folder, OWN) else {}


def _files(place: Path, classes: Sequence[str]) -> tuple[dict[int, list[Path]], list[Path]]:
    """A device's images of each label, and its other files."""
    labels_of = {class_folder(name): label for label, name in enumerate(classes)}
    by_label: dict[int, list[Path]] = {}
    other = images_in(place)
    for name, folder in subfolders(place).items():
        if name not in labels_of:
            raise DataError(f"{folder}: no class of that name; there are: {', '.join(labels_of)}")
        by_label[labels_of[name]], more = files_below(folder, some=True)
        other += more
    if not by_label:
        raise DataError(f"{place}: no images. Put them in folders named after their classes")
    return by_label, other
