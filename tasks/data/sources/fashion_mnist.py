"""Fashion-MNIST (Xiao et al., 2017) as four idx files, verified by content whatever wraps them."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from numpy.typing import NDArray

from tasks.data.dataset import Dataset, Images, Labels, Wanted
from tasks.data.download import FAILURES as UNREACHABLE
from tasks.data.download import download
from tasks.run.errors import DataError
from tasks.run.files import atomic_write

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
DOWNLOAD_TIMEOUT_S = 300.0
APT_OPTIONS = ("-o", "Acquire::http::Timeout=10", "-o", "Acquire::Retries=1")
FAILURES = (*UNREACHABLE, subprocess.SubprocessError, EOFError, zlib.error)
"""What a place that does not have a file may answer with."""


def fetch(folder: Path, origin: Path | None = None) -> None:
    """Bring those of the four files into ``folder`` that are not there.

    A file that is there stays, whatever it holds: whether it is the pinned one is
    :mod:`tasks.data.pin`'s to judge, and replacing it would hide that it was not.
    Tried in this order, until one has what is missing: ``origin``, the package's installed files,
    torchvision's mirrors, Debian's package.

    Raises:
        DataError: no place has them; each place is named with its reason.
    """
    missing = [name for name in FILES if not (folder / name).exists()]
    failures = []
    with tempfile.TemporaryDirectory() as scratch:
        for place, attempt in _places(origin, Path(scratch)):
            if not missing:
                return
            try:
                for name in list(missing):
                    atomic_write(folder / name, _first_right(name, attempt(name), place))
                    missing.remove(name)
            except FAILURES as error:
                failures.append(f"{place}: {_reason(error)}")
    if missing:
        raise DataError(
            f"fashion-mnist: cannot fetch {', '.join(missing)}. Tried {'; '.join(failures)}. "
            "Set data.origin to a folder that holds the files (idx or .gz)."
        )


def read(folder: Path, wanted: Wanted) -> Dataset:
    """Images uint8 ``(n, 1, 28, 28)``, 60,000 to train and 10,000 to test, and their labels.

    Raises:
        DataError: a file is missing or is not what idx promises.
    """
    return Dataset(*_split(folder, "train"), *_split(folder, "t10k"), classes=CLASSES)


def checked(name: str, payload: bytes, place: str) -> bytes:
    """The idx content of ``payload`` (gzip or plain), if it is the canonical one.

    Raises:
        DataError: it is not.
    """
    content = gzip.decompress(payload) if payload[:2] == b"\x1f\x8b" else payload
    if hashlib.sha256(content).hexdigest() != FILES[name]:
        raise DataError(f"{name} from {place} is not Fashion-MNIST's (its sha256 differs)")
    return content


def _first_right(name: str, payloads: Iterator[bytes], place: str) -> bytes:
    """The first payload that is the canonical file: a broken copy beside a good one is passed."""
    error = DataError(f"no {name} there")
    for payload in payloads:
        try:
            return checked(name, payload, place)
        except (DataError, EOFError, OSError, zlib.error) as wrong:
            error = DataError(_reason(wrong))
    raise error


def _reason(error: BaseException) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        words = (error.stderr or b"").decode(errors="replace").strip().splitlines()
        return f"{' '.join(error.cmd[:2])}: {words[-1] if words else error.returncode}"
    return str(error) or type(error).__name__


Attempt = Callable[[str], Iterator[bytes]]
"""From a file's name to the payloads that may be it."""


def _places(origin: Path | None, scratch: Path) -> Iterator[tuple[str, Attempt]]:
    if origin is not None:
        yield str(origin), lambda name: _below(origin, name)
    if INSTALLED.exists():
        yield str(INSTALLED), lambda name: _below(INSTALLED, name)
    yield "torchvision's mirrors", lambda name: _from_mirrors(name, scratch)
    yield f"Debian's package {PACKAGE}", lambda name: _from_debian(name, scratch)


def _below(folder: Path, name: str) -> Iterator[bytes]:
    if not folder.is_dir():
        raise DataError("no such folder")
    for candidate in (name, f"{name}.gz"):
        for path in sorted(folder.rglob(candidate)):
            if path.is_file():
                yield path.read_bytes()


def _from_mirrors(name: str, scratch: Path) -> Iterator[bytes]:
    from torchvision.datasets import FashionMNIST

    reasons = []
    for mirror in FashionMNIST.mirrors:
        packed = f"{name}.gz"
        try:
            path = download(f"{mirror}{packed}", dict(FashionMNIST.resources)[packed], scratch)
        except (OSError, ValueError) as error:
            reasons.append(_reason(error))
        else:
            yield path.read_bytes()
    if reasons:
        raise DataError("; ".join(reasons))


def _from_debian(name: str, scratch: Path) -> Iterator[bytes]:
    """From Debian's package, downloaded and unpacked without installing it (no root needed)."""
    unpacked = scratch / "unpacked"
    if not unpacked.exists():
        if not shutil.which("apt-get") or not shutil.which("dpkg"):
            raise DataError("no apt-get and dpkg here")
        if os.geteuid() == 0 and not _known(scratch):  # a fresh machine's list of packages is empty
            _call(["apt-get", *APT_OPTIONS, "update", "-qq"], scratch)
        _call(["apt-get", *APT_OPTIONS, "download", "-qq", PACKAGE], scratch)
        package = next(scratch.glob("*.deb"), None)
        if package is None:
            raise DataError("apt-get brought no package")
        _call(["dpkg", "-x", package.name, unpacked.name], scratch)
    yield from _below(unpacked, name)


def _known(where: Path) -> bool:
    command = ["apt-cache", "show", PACKAGE]
    done = subprocess.run(
        command, cwd=where, capture_output=True, timeout=DOWNLOAD_TIMEOUT_S, check=False
    )
    return done.returncode == 0 and bool(done.stdout)


def _call(command: list[str], where: Path) -> None:
    subprocess.run(command, cwd=where, capture_output=True, timeout=DOWNLOAD_TIMEOUT_S, check=True)


def _split(folder: Path, split: str) -> tuple[Images, Labels]:
    images = _idx(folder / f"{split}-images-idx3-ubyte", dims=3)
    labels = _idx(folder / f"{split}-labels-idx1-ubyte", dims=1)
    if len(images) != len(labels):
        raise DataError(f"{folder}: {len(images)} {split} images but {len(labels)} labels")
    if len(labels) and labels.max() >= len(CLASSES):
        raise DataError(f"{folder}: {split} labels go beyond the {len(CLASSES)} classes")
    return images[:, None], labels


def _idx(path: Path, dims: int) -> NDArray:
    """The images (uint8) or labels (int64) of an idx file."""
    from torchvision.datasets.mnist import read_image_file, read_label_file

    if not path.is_file():
        raise DataError(f"{path}: No such file. Try: acme data fetch")
    try:
        return (read_image_file if dims == 3 else read_label_file)(str(path)).numpy()
    except Exception as error:  # torchvision asserts, and torch raises what it likes
        raise DataError(
            f"{path}: truncated, too long or not an idx file of bytes in {dims} dimensions "
            f"({_reason(error)}). Delete it and: acme data fetch"
        ) from None
