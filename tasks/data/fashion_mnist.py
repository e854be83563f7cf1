"""Fashion-MNIST (Xiao et al., 2017) as four idx files, verified by content whatever wraps them."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.store import atomic_write

FILES = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
"""The idx files and the sha256 of their content."""

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
PACKAGE = "dataset-fashion-mnist"
INSTALLED = Path("/usr/share/datasets/fashion-mnist")
NETWORK_TIMEOUT_S = 5.0
DOWNLOAD_TIMEOUT_S = 300.0


def fetch(folder: Path, origin: Path | None = None) -> None:
    """Bring the four files into ``folder``: those that are there and right stay.

    Tried in this order, until one has what is missing: ``origin``, the package's installed files,
    torchvision's mirrors, Debian's package.

    Raises:
        DataError: no place has them; each place is named with its reason.
    """
    missing = [name for name in FILES if not _right(folder / name)]
    failures = []
    for place, attempt in _places(origin):
        if not missing:
            return
        try:
            for name in list(missing):
                atomic_write(folder / name, checked(name, attempt(name), place))
                missing.remove(name)
        except (OSError, DataError, subprocess.SubprocessError, EOFError) as error:
            failures.append(f"{place}: {error}")
    if missing:
        raise DataError(
            f"fashion-mnist: cannot fetch {', '.join(missing)}. Tried {'; '.join(failures)}. "
            "Set data.origin to a folder that holds the files (idx or .gz)."
        )


def read(folder: Path) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Train images uint8 ``(60000, 1, 28, 28)`` and labels int64, then test's.

    Raises:
        DataError: a file is missing or is not what idx promises.
    """
    arrays = [_idx(folder / name) for name in FILES]
    train_images, train_labels, test_images, test_labels = arrays
    return (
        train_images[:, None],
        train_labels.astype(np.int64),
        test_images[:, None],
        test_labels.astype(np.int64),
    )


def checked(name: str, payload: bytes, place: str) -> bytes:
    """The idx content of ``payload`` (gzip or plain), if it is the canonical one.

    Raises:
        DataError: it is not.
    """
    content = gzip.decompress(payload) if payload[:2] == b"\x1f\x8b" else payload
    if hashlib.sha256(content).hexdigest() != FILES[name]:
        raise DataError(f"{name} from {place} is not Fashion-MNIST's (its sha256 differs)")
    return content


def _right(path: Path) -> bool:
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == FILES[path.name]


def _places(origin: Path | None) -> Iterator[tuple[str, Callable[[str], bytes]]]:
    if origin is not None:
        yield str(origin), lambda name: _below(origin, name)
    if INSTALLED.exists():
        yield str(INSTALLED), lambda name: _below(INSTALLED, name)
    yield "torchvision's mirrors", _from_mirror
    yield f"Debian's package {PACKAGE}", _from_debian


def _below(folder: Path, name: str) -> bytes:
    for candidate in (name, f"{name}.gz"):
        for path in sorted(folder.rglob(candidate)):
            return path.read_bytes()
    raise DataError(f"no {name} below {folder}")


def _from_mirror(name: str) -> bytes:
    from torchvision.datasets import FashionMNIST

    reasons = []
    for mirror in FashionMNIST.mirrors:
        try:
            with urllib.request.urlopen(f"{mirror}{name}.gz", timeout=NETWORK_TIMEOUT_S) as answer:
                payload: bytes = answer.read()
                return payload
        except OSError as error:
            reasons.append(str(error))
    raise DataError("; ".join(reasons))


_unpacked: tempfile.TemporaryDirectory | None = None


def _from_debian(name: str) -> bytes:
    """From Debian's package, downloaded and unpacked without installing it (no root needed)."""
    global _unpacked
    if _unpacked is None:
        if not shutil.which("apt-get") or not shutil.which("dpkg"):
            raise DataError("no apt-get and dpkg here")
        _unpacked = tempfile.TemporaryDirectory()
        where = Path(_unpacked.name)
        try:
            if not _download(where) and os.geteuid() == 0:
                _call(["apt-get", "update", "-qq"], where)  # the list of packages may be empty
                _download(where)
            package = next(where.glob("*.deb"), None)
            if package is None:
                raise DataError(f"apt-get does not find {PACKAGE}; try: apt-get update")
            _call(["dpkg", "-x", package.name, "unpacked"], where)
        except BaseException:
            _unpacked.cleanup()
            _unpacked = None
            raise
    return _below(Path(_unpacked.name) / "unpacked", name)


def _download(where: Path) -> bool:
    command = ["apt-get", "download", "-qq", PACKAGE]
    return (
        subprocess.run(
            command, cwd=where, capture_output=True, timeout=DOWNLOAD_TIMEOUT_S, check=False
        ).returncode
        == 0
    )


def _call(command: list[str], where: Path) -> None:
    subprocess.run(command, cwd=where, capture_output=True, timeout=DOWNLOAD_TIMEOUT_S, check=True)


def _idx(path: Path) -> NDArray[np.uint8]:
    """An idx file: two zero bytes, type 8 (uint8), number of dimensions, their sizes, values."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}. Try: acme data fetch") from None
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise DataError(f"{path}: not an idx file of bytes. Delete it and: acme data fetch")
    dims = content[3]
    start = 4 + 4 * dims
    shape = [int(n) for n in np.frombuffer(content[4:start], ">u4")]
    if len(content) != start + int(np.prod(shape)):
        raise DataError(f"{path}: truncated. Delete it and: acme data fetch")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
