"""The user's own images: a folder a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.data.dataset import Dataset, Images, Labels, Wanted, content_hashes
from tasks.data.pictures import class_folders, image_files, read_image, subfolders
from tasks.run.errors import DataError
from tasks.run.words import counted
from tasks.settings.sources import Counts


def fetch(folder: Path, origin: Path | None = None) -> None:
    """Nothing is copied, moved or linked: the images must lie in ``folder`` already.

    Raises:
        DataError: there are no class folders.
    """
    if not class_folders(folder):
        raise DataError(
            f"{folder}: no class folders. Put one folder of images per class there (or in "
            f"{folder}/train and {folder}/test), then: acme data pin"
        )


def count(folder: Path, test_fraction: float) -> Counts:
    """How many images each class has, by the names of the files alone. See :func:`read`."""
    roots, classes = _splits(folder)
    train, *test = ([len(image_files(root / name)) for name in classes] for root in roots)
    if not test:
        test = [[_tested(total, test_fraction) for total in train]]
        train = [total - tested for total, tested in zip(train, test[0], strict=True)]
    return Counts(tuple(train), tuple(test[0]), classes)


def read(folder: Path, wanted: Wanted) -> Dataset:
    """A folder a class, below ``train`` and ``test`` where both (or ``train`` alone) hold such
    folders; without a test folder each class is split by content and seed.

    Raises:
        DataError: the folders are others, or an image is damaged; it is named.
    """
    roots, classes = _splits(folder)
    parts = [_read_classes(root, classes, wanted) for root in roots]
    if len(parts) == 1:
        images, labels = parts[0]
        for label, total in enumerate(np.bincount(labels)):
            if total < 2:
                raise DataError(f"{roots[0] / classes[label]}: 1 image; a split needs 2 or more")
        test = _seeded_test(images, labels, wanted)
        parts = [(images[~test], labels[~test]), (images[test], labels[test])]
    return Dataset(*parts[0], *parts[1], classes=classes)


def _splits(folder: Path) -> tuple[list[Path], tuple[str, ...]]:
    """The folders of the train and, where there is one, the test split, and the classes."""
    has_train, has_test = (bool(subfolders(folder / name)) for name in ("train", "test"))
    if has_test and not has_train:
        raise DataError(f"{folder / 'test'} has class folders but {folder / 'train'} has none")
    if has_train and not has_test:
        others = [p for p in class_folders(folder) if p.name != "train"]
        if others:
            raise DataError(
                f"{others[0]}: neither train nor test. Beside train/ only test/ is read; move it"
            )
    roots = [folder / "train"] if has_train else [folder]
    roots += [folder / "test"] if has_test else []
    classes = tuple(p.name for p in class_folders(roots[0]))
    if len(classes) < 2:
        raise DataError(
            f"{roots[0]}: {counted(len(classes), 'class folder')}; at least 2 are needed"
        )
    for extra in (p for root in roots for p in class_folders(root) if p.name not in classes):
        raise DataError(f"{extra}: a class that {roots[0]} does not have")
    return roots, classes


def _tested(total: int, fraction: float) -> int:
    """How many images of a class are for the test."""
    return min(max(1, round(fraction * total)), total - 1)


def _read_classes(root: Path, classes: tuple[str, ...], wanted: Wanted) -> tuple[Images, Labels]:
    images, labels = [], []
    for label, name in enumerate(classes):
        files = image_files(root / name)
        images += [read_image(file, wanted.image_size, wanted.channels) for file in files]
        labels += [label] * len(files)
    return np.stack(images), np.array(labels, np.int64)


def _seeded_test(images: Images, labels: Labels, wanted: Wanted) -> NDArray[np.bool_]:
    """A test split per class, by content: the order and names of the files do not matter."""
    order = np.argsort(content_hashes(images), kind="stable")
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        shuffled = np.random.default_rng([wanted.seed, int(label)]).permutation(members)
        chosen[shuffled[: _tested(len(members), wanted.test_fraction)]] = True
    return chosen
