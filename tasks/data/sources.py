"""Data sets behind one small interface: :func:`fetch` brings files, :func:`load` reads them."""

from __future__ import annotations

import hashlib
import itertools
import pickle
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.data import fashion_mnist
from tasks.run.errors import DataError, SettingsError
from tasks.run.files import atomic_write

Images = NDArray[np.uint8]
"""``(n, channels, height, width)``."""
Labels = NDArray[np.int64]
CIFAR_FOLDER = "cifar-100-python"
CIFAR_FILES = ("train", "test", "meta")
NETWORK_TIMEOUT_S = 5.0
OWN = "devices"  # the folder of images that devices bring themselves; see tasks.data.own
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}


@dataclass(frozen=True)
class Dataset:
    """A data set with the source's own train and test splits."""

    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    classes: tuple[str, ...]


def fetch(source: str, folder: Path, *, origin: Path | None = None) -> None:
    """Bring the raw files of ``source`` into ``folder`` unless they are there.

    ``fashion-mnist`` and ``cifar100`` are fetched from ``origin`` or the network; a file that is
    there is never replaced. An ``image-folder`` is the user's own and must lie in ``folder``
    already: nothing is copied, moved or linked.

    Raises:
        DataError: no place answers; each is named with its reason.
        SettingsError: unknown source.
    """
    match source:
        case "fashion-mnist":
            fashion_mnist.fetch(folder, origin)
        case "cifar100":
            _fetch_cifar100(folder, origin)
        case "image-folder":
            if not class_folders(folder):
                raise DataError(
                    f"{folder}: no class folders. Put one folder of images per class there (or in "
                    f"{folder}/train and {folder}/test), then: acme data pin"
                )
        case _:
            raise SettingsError(f"data.source: unknown source {source!r}")


def load(
    source: str, folder: Path, *, image_size: int, channels: int, seed: int, test_fraction: float
) -> Dataset:
    """Read a data set, as ``image_size`` square images with 1 (grey) or 3 (colour) channels.

    ``seed`` and ``test_fraction`` are for an image folder without ``train`` and ``test``.

    Raises:
        DataError: a file is missing or damaged; it is named.
    """
    readers: dict[str, Callable[[], Dataset]] = {
        "fashion-mnist": lambda: _fashion_mnist(folder),
        "cifar100": lambda: _cifar100(folder),
        "image-folder": lambda: _image_folder(folder, image_size, channels, seed, test_fraction),
    }
    if source not in readers:
        raise SettingsError(f"data.source: unknown source {source!r}")
    data = readers[source]()
    return replace(
        data,
        train_images=_fitted(data.train_images, image_size, channels),
        test_images=_fitted(data.test_images, image_size, channels),
    )


def content_hashes(images: Images) -> NDArray[np.str_]:
    """sha256 of every image's bytes ``(n,)``."""
    return np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in images])


def first_occurrences(*hashes: NDArray[np.str_]) -> list[NDArray[np.int64]]:
    """Per array, the positions of contents that appear neither earlier in it nor in an array
    before it: an image that lies in two splits would leak from one into the other."""
    _, first = np.unique(np.concatenate(hashes), return_index=True)
    ends = np.cumsum([0, *(len(h) for h in hashes)])
    first.sort()
    return [first[(first >= a) & (first < b)] - a for a, b in itertools.pairwise(ends)]


def _fashion_mnist(folder: Path) -> Dataset:
    arrays = fashion_mnist.read(folder)
    return Dataset(*arrays, classes=fashion_mnist.CLASSES)


def _fetch_cifar100(folder: Path, origin: Path | None) -> None:
    """The three files, from anywhere below ``origin`` or from torchvision's download (which checks
    the archive's md5), each put in place whole."""
    missing = [name for name in CIFAR_FILES if not (folder / CIFAR_FOLDER / name).exists()]
    if not missing:
        return
    found = next(iter(sorted(origin.rglob(CIFAR_FOLDER))), None) if origin else None
    with tempfile.TemporaryDirectory() as scratch:
        try:
            place = found if found is not None else _download_cifar100(Path(scratch))
            content = {name: (place / name).read_bytes() for name in missing}
        except Exception as error:  # torchvision raises what it likes
            raise DataError(
                f"cifar100: cannot fetch ({error}). Give data.origin a folder that holds "
                f"{CIFAR_FOLDER}/ with {', '.join(CIFAR_FILES)}, or try again with a network."
            ) from None
    for name, payload in content.items():
        atomic_write(folder / CIFAR_FOLDER / name, payload)


def _download_cifar100(scratch: Path) -> Path:
    from torchvision.datasets import CIFAR100

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_TIMEOUT_S)  # torchvision sets none
    try:
        CIFAR100(str(scratch), download=True)
    finally:
        socket.setdefaulttimeout(before)
    return scratch / CIFAR_FOLDER


class _ArraysOnly(pickle.Unpickler):
    """CIFAR's own format is pickle: only numpy arrays are let through."""

    def find_class(self, module: str, name: str) -> object:
        numpy = module.split(".")[0] == "numpy" and name in {"_reconstruct", "ndarray", "dtype"}
        if numpy or (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _cifar100(folder: Path) -> Dataset:
    root = folder / CIFAR_FOLDER
    classes = tuple(_unpickled(root / "meta", lambda d: [str(n) for n in d["fine_label_names"]]))
    parts: list[tuple[Images, Labels]] = [
        _unpickled(root / name, _cifar_arrays) for name in ("train", "test")
    ]
    for name, (_, labels) in zip(("train", "test"), parts, strict=True):
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
            raise DataError(f"{root / name}: labels go beyond the {len(classes)} classes")
    return Dataset(*parts[0], *parts[1], classes=classes)


def _cifar_arrays(content: dict) -> tuple[Images, Labels]:
    images = np.asarray(content["data"], np.uint8).reshape(-1, 3, 32, 32)
    labels = np.asarray(content["fine_labels"], np.int64)
    if len(images) != len(labels):
        raise ValueError(f"{len(images)} images but {len(labels)} labels")
    return images, labels


def _unpickled(path: Path, read: Callable[[dict], Any]) -> Any:
    try:
        with path.open("rb") as file:
            return read(_ArraysOnly(file, encoding="latin1").load())
    except FileNotFoundError:
        raise DataError(f"{path}: missing. Try: acme data fetch") from None
    except Exception as error:  # a damaged pickle may raise anything
        raise DataError(f"{path}: damaged ({error}). Delete it and: acme data fetch") from None


def _image_folder(
    folder: Path, image_size: int, channels: int, seed: int, test_fraction: float
) -> Dataset:
    """A folder a class, below ``train`` and ``test`` where both (or ``train`` alone) hold such
    folders; without a test folder each class is split by content and seed."""
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
        raise DataError(f"{roots[0]}: {len(classes)} class folders; at least 2 are needed")
    for extra in (p for root in roots for p in class_folders(root) if p.name not in classes):
        raise DataError(f"{extra}: a class that {roots[0]} does not have")
    parts = [_read_classes(root, classes, image_size, channels) for root in roots]
    if not has_test:
        images, labels = parts[0]
        for label, count in enumerate(np.bincount(labels)):
            if count < 2:
                raise DataError(f"{roots[0] / classes[label]}: 1 image; a split needs 2 or more")
        test = _seeded_test(images, labels, seed, test_fraction)
        parts = [(images[~test], labels[~test]), (images[test], labels[test])]
    return Dataset(*parts[0], *parts[1], classes=classes)


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


def _read_classes(
    root: Path, classes: tuple[str, ...], image_size: int, channels: int
) -> tuple[Images, Labels]:
    images, labels = [], []
    for label, name in enumerate(classes):
        files = image_files(root / name)
        images += [read_image(file, image_size, channels) for file in files]
        labels += [label] * len(files)
    return np.stack(images), np.array(labels, np.int64)


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


def _seeded_test(images: Images, labels: Labels, seed: int, fraction: float) -> NDArray[np.bool_]:
    """A test split per class, by content: the order and names of the files do not matter."""
    order = np.argsort(content_hashes(images), kind="stable")
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        shuffled = np.random.default_rng([seed, int(label)]).permutation(members)
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        chosen[shuffled[:count]] = True
    return chosen


def _fitted(images: Images, image_size: int, channels: int) -> Images:
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
