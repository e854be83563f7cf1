"""What a device brings itself: ``<data>/devices/<device>/<class>/*.png``, of texts ``*.txt`` there
with a text a line, or the rows of a manifest that name the device.

It belongs to that device alone, is pinned with the rest of the data, and is never shared. Which
split a sample falls into depends on its content, unless a manifest says it, so that samples that
come later move none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.data import folders
from tasks.data.dataset import Brought, Dataset, Owned, content_hashes, texts_of
from tasks.data.enough import require_own
from tasks.data.pictures import read_images
from tasks.data.plan import DevicePlan, Index, Plan
from tasks.data.rows import SPLITS, Source, rows_of
from tasks.data.skipped import Skipped, names_of
from tasks.links.ends import DEVICE
from tasks.run.errors import DataError, SettingsError
from tasks.settings.params import Settings
from tasks.settings.sources import Counts, OwnCount

PREFIX = "own"
Found = dict[int, tuple[dict[str, list[Path]], list[Path]]]
"""The images, or texts, of each class and the other files of each device that brings a folder, by
its id."""


def brought_by(settings: Settings, data: Dataset) -> tuple[Brought, Skipped]:
    """What each device brings, and what of it was not read (of a source that says whose samples
    are whose, the source tells that).

    Raises:
        DataError, SettingsError: as :func:`find` and :func:`require_owners`.
    """
    spec = settings.data
    if data.brought is not None:
        require_owners(settings, data.brought)
        return data.brought, Skipped()
    ids = {d.name: d.id for d in settings.devices}
    if spec.modality == "text":
        return load_texts(spec.folder, ids, data.classes)
    return load(spec.folder, ids, data.classes, spec.image_size, spec.channels)


def counted_of(settings: Settings, counts: Counts) -> Mapping[int, OwnCount]:
    """What each device brings, without reading an image. Raises as :func:`brought_by`."""
    if counts.devices is not None:
        require_owners(settings, counts.devices)
        return counts.devices
    ids = {d.name: d.id for d in settings.devices}
    if settings.data.modality == "text":
        own, _ = load_texts(settings.data.folder, ids, counts.names)
        return {at: OwnCount(len(o.labels), o.learned(counts.names)) for at, o in own.items()}
    return count(settings.data.folder, ids, counts.names)


def require_owners(settings: Settings, owners: Collection[int]) -> None:
    """Raises SettingsError if a source says whose samples are whose, but the settings have other
    devices, or have samples dealt out. ``owners`` are ids."""
    where, fleet = settings.data.folder / settings.data.manifest, settings.devices
    if not owners:
        return
    for unknown in sorted(set(owners) - {d.id for d in fleet}):
        raise SettingsError(
            f"{where}: {DEVICE}{unknown:02d} is not in the fleet: add it, or mend its rows"
        )
    for device in (d for d in fleet if d.id not in owners):
        raise SettingsError(f"fleet: {device.name} has no row in {where}: add some, or remove it")
    if given := settings.partition.samples_per_device:
        raise SettingsError(
            f"partition.samples_per_device: {given}, but {where} says which samples each device "
            "has, and nothing else is dealt to it: give 0"
        )


def load(
    folder: Path, devices: Mapping[str, int], classes: Sequence[str], size: int, channels: int
) -> tuple[Brought, Skipped]:
    """What devices bring in folders, images ``(n, channels, size, size)``; and what of it was not
    read.

    Args:
        devices: ids of the fleet's devices by name.

    Raises:
        DataError: as :func:`find`, or too many images of a device are damaged.
    """
    brought: dict[int, Owned] = {}
    skipped = Skipped()
    for device, (by_class, other) in find(folder, devices, classes).items():
        names = [name for name, files in by_class.items() for _ in files]
        files = [path for of_class in by_class.values() for path in of_class]
        images, kept, damaged = read_images(files, names, size, channels)
        labels = np.array([classes.index(names[at]) for at in kept], np.int64)
        brought[device] = Owned(images, labels, [files[at] for at in kept])
        skipped += damaged + Skipped(other=names_of(other))
    return brought, skipped


def load_texts(
    folder: Path, devices: Mapping[str, int], classes: Sequence[str]
) -> tuple[Brought, Skipped]:
    """What devices bring in folders, a text a line; and what of it was not read.

    Args:
        devices: ids of the fleet's devices by name.

    Raises:
        DataError: as :func:`find`, or a file is not UTF-8.
    """
    brought: dict[int, Owned] = {}
    skipped = Skipped()
    for device, (by_class, other) in find(folder, devices, classes, folders.TEXTS).items():
        rows = [
            (text, classes.index(name), f"{path}, line {number}")
            for name, files in by_class.items()
            for path in files
            for number, text in _lines(path)
        ]
        texts, labels, places = zip(*rows, strict=True) if rows else ((), (), ())
        brought[device] = Owned(texts_of(texts), np.array(labels, np.int64), places)
        skipped += Skipped(other=names_of(other))
    return brought, skipped


def _lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a file that are not empty, with their numbers."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file in UTF-8. Save it as such") from None
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def count(folder: Path, devices: Mapping[str, int], classes: Sequence[str]) -> dict[int, OwnCount]:
    """How many images devices bring in folders, by the names of the files alone. See
    :func:`find`."""
    return {
        device: OwnCount(sum(map(len, of.values())), frozenset(of))
        for device, (of, _) in find(folder, devices, classes).items()
    }


def find(
    folder: Path,
    devices: Mapping[str, int],
    classes: Sequence[str],
    suffixes: Collection[str] = folders.SUFFIXES,
) -> Found:
    """The folders of devices, where there are some.

    Args:
        devices: ids of the fleet's devices by name.
        classes: all that there are; none: they are not known yet.
        suffixes: of the files to find.

    Raises:
        DataError: a folder is of no device of the fleet or of no class, or has no such files.
    """
    has = folders.divides(folder, folders.OWN)
    places = folders.subfolders(folder / folders.OWN) if has else {}
    for name, place in places.items():
        if name not in devices:
            raise DataError(
                f"{place}: the fleet has no such device. Name the folder after one, or remove it"
            )
    return {devices[name]: _files(place, classes, suffixes) for name, place in places.items()}


def source_name(device_id: int) -> str:
    """What the ids of a device's own samples begin with."""
    return f"{PREFIX}{device_id:02d}"


def class_folder(name: str) -> str:
    """The folder of a class: its name, without the slash that no folder's name can hold."""
    return name.replace("/", "-")


def sources_of(brought: Brought, known: Collection[str]) -> dict[int, Source]:
    """What each device brings as a source; contents in ``known`` (hashes) are left out.

    Raises:
        DataError: two devices bring the same content; names both places.
    """
    found: dict[int, Source] = {}
    theirs: dict[str, Path | str] = {}
    for device, owned in sorted(brought.items()):
        source = found[device] = as_source(source_name(device), owned, known)
        mine = {str(source.sha256[at]): owned.files[at] for at in source.usable}
        for content in mine.keys() & theirs.keys():
            raise DataError(
                f"{theirs[content]} and {mine[content]} are the same "
                f"{'text' if isinstance(mine[content], str) else 'picture'}, and of two devices: "
                "leave it to one of them"
            )
        theirs |= mine
    return found


def as_source(name: str, owned: Owned, known: Collection[str]) -> Source:
    """What a device brings as a source; contents in ``known`` (hashes) or seen before are left
    out."""
    hashes = content_hashes(owned.samples)
    _, first = np.unique(hashes, return_index=True)
    usable = np.array([i for i in np.sort(first) if hashes[i] not in known], np.int64)
    return Source(name, owned.labels, hashes, usable, told=owned.splits)


def own_rows(
    source: Source | None, device: DevicePlan, plan: Plan, dealt: pd.DataFrame
) -> list[pd.DataFrame]:
    """A device's own samples beside its ``dealt`` train split. Where none is told its split, each
    is in the one that its content says; where some are, those of train are cut so into train and
    the splits that no sample is told to be in.

    A class that it has of nowhere else is trained on, unless it wants it, and where nothing was
    dealt no split stays empty: of the samples that can be spared, the one nearest to it by content
    goes there.

    Raises:
        DataError: it has too little to train, choose and test, or nothing of a class to train on.
    """
    labels = np.array([], np.int64) if source is None else source.labels[source.usable]
    told = np.zeros_like(labels)
    if source is not None and source.told is not None:
        told = source.told[source.usable]
    free = told == 0
    lacks = [at for at in (1, 2) if not (told == at).any()]
    if not len(dealt):
        val, tested = ((told == at).sum() for at in (1, 2))
        met = (told == 2) & np.isin(labels, [*device.wanted])
        classes = frozenset(str(label) for label in labels[~met])
        brought = OwnCount(len(labels), classes, int(val), int(tested))
        require_own(device.name, brought, plan.noun)
    if source is None:
        return []
    place = np.array([int(sha256[:8], 16) / 16**8 for sha256 in source.sha256[source.usable]])
    learned = plan.train_fraction + plan.val_fraction
    sizes = np.array([plan.train_fraction, plan.val_fraction, 1 - learned])[[0, *lacks]]
    ends = np.cumsum(sizes) / sizes.sum()
    split = told.copy()
    split[free] = np.array([0, *lacks])[np.searchsorted(ends[:-1], place[free], side="right")]
    for label in set(labels.tolist()) - set(dealt["label"]) - device.wanted:
        if len(mine := np.flatnonzero((labels == label) & free)):
            split[mine[np.argmin(place[mine])]] = 0
        elif not ((labels == label) & (split == 0)).any():
            raise DataError(
                f"{device.name}: no {plan.noun} of class number {label} is left to train on "
                "(damaged, public too, or there twice): add one"
            )
    for low, high, empty in zip(ends[:-1], ends[1:], lacks, strict=True) if not len(dealt) else ():
        if not (split == empty).any():
            away = np.maximum(low - place, place - high)
            spared = np.flatnonzero(_spared(split, labels) & free)
            split[min(spared, key=lambda i: away[i])] = empty
    return [
        rows_of(source, source.usable[split == i], device.name, "device", name)
        for i, name in enumerate(SPLITS)
    ]


def _spared(split: Index, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which samples may leave their split: it keeps one, train one of each class."""
    kept = np.where(split == 0, labels, -split)  # val and test need no class: -1 and -2
    return np.array([(kept == of).sum() > 1 for of in kept])


def _files(
    place: Path, classes: Sequence[str], suffixes: Collection[str]
) -> tuple[dict[str, list[Path]], list[Path]]:
    """A device's images, or texts, of each class, and its other files."""
    named = {class_folder(name): name for name in classes}
    by_class: dict[str, list[Path]] = {}
    other = folders.images_in(place, suffixes)
    for name, folder in folders.subfolders(place).items():
        if named and name not in named:
            raise DataError(f"{folder}: no class of that name; there are: {', '.join(named)}")
        by_class[named.get(name, name)], more = folders.files_below(folder, True, suffixes)
        other += more
    if not by_class:
        what = "texts" if suffixes == folders.TEXTS else "images"
        raise DataError(f"{place}: no {what}. Put them in folders named after their classes")
    return by_class, other
