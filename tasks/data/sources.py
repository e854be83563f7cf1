"""Data sets behind one small interface: :func:`fetch` brings files, :func:`load` reads them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.data import fashion_mnist
from tasks.errors import DataError, SettingsError

Images = NDArray[np.uint8]
"""``(n, channels, height, width)``."""
Labels = NDArray[np.int64]
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

    ``fashion-mnist`` and ``cifar100`` are fetched from ``origin`` or the network; an
    ``image-folder`` is the user's own and must lie in ``folder`` already.

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
            if not any(p.is_dir() for p in folder.glob("*")):
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
    from torchvision.datasets import CIFAR100

    for root in filter(None, (folder, origin)):
        if (root / CIFAR100.base_folder / "train").exists():
            if root == origin:
                _copy_tree(origin / CIFAR100.base_folder, folder / CIFAR100.base_folder)
            return
    try:
        CIFAR100(str(folder), download=True)
        (folder / CIFAR100.filename).unlink(missing_ok=True)  # the archive that it came in
    except Exception as error:
        raise DataError(
            f"cifar100: cannot download ({error}). Give data.origin a folder that holds "
            f"{CIFAR100.base_folder}/, or try again with a network."
        ) from None


def _copy_tree(source: Path, target: Path) -> None:
    import shutil

    shutil.copytree(source, target, dirs_exist_ok=True)


def _cifar100(folder: Path) -> Dataset:
    import pickle

    def read(name: str) -> dict:
        path = folder / "cifar-100-python" / name
        try:
            with path.open("rb") as file:
                content: dict = _Restricted(file, encoding="latin1").load()
                return content
        except FileNotFoundError:
            raise DataError(f"{path}: missing. Try: acme data fetch") from None
        except (pickle.UnpicklingError, EOFError, ValueError) as error:
            raise DataError(f"{path}: damaged ({error}). Delete it and: acme data fetch") from None

    splits = [read(name) for name in ("train", "test")]
    images = [np.asarray(s["data"], np.uint8).reshape(-1, 3, 32, 32) for s in splits]
    labels = [np.asarray(s["fine_labels"], np.int64) for s in splits]
    classes = tuple(read("meta")["fine_label_names"])
    return Dataset(images[0], labels[0], images[1], labels[1], classes)


def _restricted_unpickler() -> type:
    import pickle

    class Restricted(pickle.Unpickler):
        """CIFAR's own format is pickle: only numpy arrays are let through."""

        def find_class(self, module: str, name: str) -> object:
            numpy = module.split(".")[0] == "numpy" and name in {"_reconstruct", "ndarray", "dtype"}
            if numpy or (module, name) == ("_codecs", "encode"):
                return super().find_class(module, name)
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    return Restricted


_Restricted = _restricted_unpickler()


def _image_folder(
    folder: Path, image_size: int, channels: int, seed: int, test_fraction: float
) -> Dataset:
    split = (folder / "train").is_dir() and (folder / "test").is_dir()
    roots = [folder / "train", folder / "test"] if split else [folder]
    classes = tuple(sorted(p.name for p in roots[0].iterdir() if p.is_dir()))
    if len(classes) < 2:
        raise DataError(f"{roots[0]}: {len(classes)} class folders; at least 2 are needed")
    parts = [_read_classes(root, classes, image_size, channels) for root in roots]
    if not split:
        images, labels = parts[0]
        test = _seeded_test(images, labels, seed, test_fraction)
        parts = [(images[~test], labels[~test]), (images[test], labels[test])]
    return Dataset(*parts[0], *parts[1], classes=classes)


def _read_classes(
    root: Path, classes: tuple[str, ...], image_size: int, channels: int
) -> tuple[Images, Labels]:
    images, labels = [], []
    for label, name in enumerate(classes):
        files = sorted(p for p in (root / name).rglob("*") if p.suffix.lower() in SUFFIXES)
        if not files:
            raise DataError(f"{root / name}: no images (of {', '.join(sorted(SUFFIXES))})")
        images += [_read_image(file, image_size, channels) for file in files]
        labels += [label] * len(files)
    return np.stack(images), np.array(labels, np.int64)


def _read_image(path: Path, image_size: int, channels: int) -> Images:
    from PIL import Image

    try:
        with Image.open(path) as image:
            mode = "L" if channels == 1 else "RGB"
            resized = image.convert(mode).resize(
                (image_size, image_size), Image.Resampling.BILINEAR
            )
    except OSError as error:
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
        chosen[shuffled[: max(1, round(fraction * len(members)))]] = True
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
