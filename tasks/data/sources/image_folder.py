"""The user's own images: a folder a class.

A folder that holds images is a class, whatever it is called. One called ``train``, ``val``,
``test`` or ``devices`` that holds folders instead is a split, or the devices' own images; below a
split every folder is a class.

Where contexts are wanted, there is such a folder for each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from tasks.data import folders
from tasks.data.dataset import ALL, Dataset, Images, Labels, Wanted
from tasks.data.pictures import read_images
from tasks.data.skipped import Skipped, names_of
from tasks.data.splitting import seeded_test, tested
from tasks.run.errors import DataError
from tasks.run.words import counted
from tasks.settings.sources import Counts

TRAIN, VAL, TEST = "train", "val", "test"
ByClass = dict[str, list[Path]]


@dataclass(frozen=True)
class Found:
    """The images of each class in the ``train`` split, and in the ``test`` split where there is
    one; and the ``other`` files among them."""

    train: ByClass
    test: ByClass | None
    other: tuple[str, ...]


def fetch(folder: Path, origin: Path | None = None) -> None:
    """Nothing is copied, moved or linked: the images must lie in ``folder`` already.

    Raises:
        DataError: there are no class folders.
    """
    if not _top(folder):
        raise DataError(
            f"{folder}: no class folders. Put one folder of images per class there (or in "
            f"{folder}/train and {folder}/test), then: acme data pin"
        )


def count(folder: Path, wanted: Wanted) -> Counts:
    """How many images each class has, by the names of the files alone, context after context. See
    :func:`read`."""
    found = contexts(folder) if wanted.context_folders else {ALL: find(folder)}
    classes = classes_of(found)
    train: list[int] = []
    test: list[int] = []
    for one in found.values():
        of_train = [len(one.train.get(name, ())) for name in classes]
        if one.test is not None:
            of_test = [len(one.test.get(name, ())) for name in classes]
        else:
            of_test = [tested(total, wanted.test_fraction) for total in of_train]
            of_train = [total - held for total, held in zip(of_train, of_test, strict=True)]
        train += of_train
        test += of_test
    other = tuple(name for one in found.values() for name in one.other)
    return Counts(tuple(train), tuple(test), classes, tuple(found), other=other)


def images(folder: Path, wanted: Wanted) -> Iterable[Path]:
    """Those of the train split, class by class."""
    found = contexts(folder) if wanted.context_folders else {ALL: find(folder)}
    return chain.from_iterable(of for one in found.values() for of in one.train.values())


def read(folder: Path, wanted: Wanted) -> Dataset:
    """The images that :func:`find` finds, of one context or of each; without a test split each
    class is split by content and seed.

    Raises:
        DataError: the folders are others, or too many images are damaged; they are named.
    """
    found = contexts(folder) if wanted.context_folders else {ALL: find(folder)}
    parts = [_read_one(one, classes_of(found), wanted) for one in found.values()]
    if len(parts) == 1:
        return replace(parts[0], contexts=tuple(found))
    arrays = ("train_samples", "train_labels", "test_samples", "test_labels")
    whole: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays
    }
    return Dataset(
        **whole,
        classes=parts[0].classes,
        contexts=tuple(found),
        train_contexts=np.repeat(np.arange(len(parts)), [len(p.train_labels) for p in parts]),
        test_contexts=np.repeat(np.arange(len(parts)), [len(p.test_labels) for p in parts]),
        skipped=sum((part.skipped for part in parts), Skipped()),
    )


def contexts(folder: Path) -> dict[str, Found]:
    """What each context's folder holds.

    Raises:
        DataError: there is no folder of folders, or one holds no classes.
    """
    places = {name: place for name, place in _top(folder).items() if folders.subfolders(place)}
    for split in (name for name in (TRAIN, VAL, TEST) if name in places):
        raise DataError(
            f"{places[split]}: a context is never called so: with data.context_folders, splits lie "
            f"below each context (context/{split}/class/file)"
        )
    if not places:
        raise DataError(
            f"{folder}: no folder of a context with class folders in it (context/class/file). "
            "Without contexts: data.context_folders: false"
        )
    return {name: find(place, least=1) for name, place in places.items()}


def classes_of(found: Mapping[str, Found]) -> tuple[str, ...]:
    """The classes of all contexts together."""
    return tuple(sorted({name for one in found.values() for name in one.train}))


def _read_one(found: Found, classes: tuple[str, ...], wanted: Wanted) -> Dataset:
    """The images of one context."""
    images, labels, skipped = _read(found.train, classes, wanted)
    skipped += Skipped(other=found.other)
    if found.test is not None:
        held, held_labels, more = _read(found.test, classes, wanted)
        return Dataset(images, labels, held, held_labels, classes, skipped=skipped + more)
    for label, total in enumerate(np.bincount(labels)):
        if total == 1:
            place = found.train[classes[label]][0].parent
            raise DataError(f"{place}: 1 image; a split needs 2 or more")
    test = seeded_test(images, labels, wanted)
    return Dataset(
        images[~test], labels[~test], images[test], labels[test], classes, skipped=skipped
    )


def find(folder: Path, least: int = 2) -> Found:
    """A folder a class, below ``train`` and ``test`` where these are splits. ``val`` is more of
    ``train``: the pipeline deals the validation sets of the cloud and the devices from it.

    Raises:
        DataError: the folders are others, or a class has no images.
    """
    splits = [name for name in (TRAIN, VAL, TEST) if folders.divides(folder, name)]
    if splits and TRAIN not in splits:
        raise DataError(
            f"{folder / splits[0]} has class folders but {folder / TRAIN} has none. If it is a "
            f"class, its images belong directly in it, or all classes in {folder / TRAIN}"
        )
    for name, place in _top(folder).items() if splits else ():
        if name not in splits and folders.files_below(place)[0]:
            raise DataError(
                f"{place}: neither train nor test nor val. {folder / TRAIN} holds class folders, "
                "and beside it only these are read; move it"
            )
    places = {name: folders.subfolders(folder / name) for name in splits} or {TRAIN: _top(folder)}
    classes, root = places[TRAIN], folder / TRAIN if splits else folder
    if len(classes) < least:
        had = counted(len(classes), "class folder")
        raise DataError(f"{root}: {had}; at least {least} are needed")
    for of_split in places.values():
        for extra in (place for name, place in of_split.items() if name not in classes):
            raise DataError(f"{extra}: a class that {root} does not have")
    files = {
        split: {
            name: folders.files_below(of_split.get(name, folder / split / name), some=split != VAL)
            for name in classes
        }
        for split, of_split in places.items()
    }
    images = {split: {c: found[0] for c, found in of.items()} for split, of in files.items()}
    for name, more in images.get(VAL, {}).items():
        images[TRAIN][name] += more
    other = [
        path for of_split in files.values() for found in of_split.values() for path in found[1]
    ]
    return Found(images[TRAIN], images.get(TEST), names_of([*folders.images_in(folder), *other]))


def _top(folder: Path) -> dict[str, Path]:
    """The folders in ``folder`` that are not the devices' own images."""
    found = folders.subfolders(folder)
    own = found.get(folders.OWN)
    if own and (folders.divides(folder, folders.OWN) or not folders.images_in(own)):
        del found[folders.OWN]
    return found


def _read(
    files: ByClass, classes: tuple[str, ...], wanted: Wanted
) -> tuple[Images, Labels, Skipped]:
    names = [name for name in classes for _ in files.get(name, ())]
    paths = [path for name in classes for path in files.get(name, ())]
    images, kept, skipped = read_images(paths, names, wanted.image_size, wanted.channels)
    return images, np.array([classes.index(names[at]) for at in kept], np.int64), skipped
