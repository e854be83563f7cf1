"""Images that a device brings itself: ``<data>/devices/<device>/<class>/*.png``.

They belong to that device alone, are pinned with the rest of the data, and are never shared. Which
split an image falls into depends on its content, so that images that come later move none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.data.dataset import Images, content_hashes
from tasks.data.partition import Source
from tasks.data.pictures import OWN, image_files, read_image, subfolders
from tasks.run.errors import DataError

PREFIX = "own"
Brought = dict[str, tuple[Images, NDArray[np.int64]]]
"""Images and labels of each device that brings some, by :func:`source_name`."""


def load(
    folder: Path, devices: Mapping[str, int], classes: Sequence[str], size: int, channels: int
) -> Brought:
    """Images ``(n, channels, size, size)`` and labels of every device that brings some.

    Args:
        devices: ids of the fleet's devices by name.

    Returns:
        By the name that sample ids begin with: ``own`` and the device's id.

    Raises:
        DataError: a folder is of no device of the fleet or of no class, or an image is damaged.
    """
    found: Brought = {}
    for place in subfolders(folder / OWN):
        if place.name not in devices:
            raise DataError(
                f"{place}: the fleet has no such device. Name the folder after one, or remove it"
            )
        found[source_name(devices[place.name])] = _read(place, classes, size, channels)
    return found


def count(folder: Path, device: str) -> tuple[int, int]:
    """How many images a device brings, of how many classes, by the names of the files alone."""
    of_classes = [len(image_files(place)) for place in subfolders(folder / OWN / device)]
    return sum(of_classes), sum(bool(images) for images in of_classes)


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


def _read(
    place: Path, classes: Sequence[str], size: int, channels: int
) -> tuple[Images, NDArray[np.int64]]:
    labels_of = {class_folder(name): label for label, name in enumerate(classes)}
    images, labels = [], []
    for folder in subfolders(place):
        if folder.name not in labels_of:
            raise DataError(f"{folder}: no class of that name; there are: {', '.join(labels_of)}")
        for file in image_files(folder):
            images.append(read_image(file, size, channels))
            labels.append(labels_of[folder.name])
    if not images:
        raise DataError(f"{place}: no images. Put them in folders named after their classes")
    return np.stack(images), np.array(labels, np.int64)
