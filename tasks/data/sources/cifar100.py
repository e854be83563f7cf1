"""CIFAR-100 (Krizhevsky, 2009) as the three pickles of its archive, read by torchvision, which
unpickles none whose md5 is not the published one."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path

import numpy as np

from tasks.data.dataset import Dataset, Wanted
from tasks.data.download import FAILURES, download
from tasks.run.errors import DataError
from tasks.run.files import atomic_write

FOLDER = "cifar-100-python"


def fetch(folder: Path, origin: Path | None = None) -> None:
    """Bring those of the three files into ``folder`` that are not there: from anywhere below
    ``origin`` or, without one there, from the authors' archive.

    Raises:
        DataError: no place has them, or they are not CIFAR-100's.
    """
    missing = [name for name in _files() if not (folder / FOLDER / name).exists()]
    if not missing:
        return
    found = next(iter(sorted(origin.rglob(FOLDER))), None) if origin else None
    with tempfile.TemporaryDirectory() as scratch:
        try:
            place = found if found is not None else _archive(Path(scratch))
            content = {name: _checked(place / name).read_bytes() for name in missing}
        except FAILURES as error:
            tried = found or " and ".join([str(origin)] * bool(origin) + ["the archive"])
            raise DataError(
                f"cifar100: cannot fetch. Tried {tried}: {error}. Give data.origin a folder that "
                f"holds {FOLDER}/ with {', '.join(_files())}, or try again with a network."
            ) from None
    for name, payload in content.items():
        atomic_write(folder / FOLDER / name, payload)


def read(folder: Path, wanted: Wanted) -> Dataset:
    """Images uint8 ``(n, 3, 32, 32)`` and the labels of the 100 fine classes.

    Raises:
        DataError: a file is missing or is not CIFAR-100's.
    """
    from torchvision.datasets import CIFAR100

    for name in _files():
        _checked(folder / FOLDER / name)
    train, test = (CIFAR100(folder, train=part) for part in (True, False))
    return Dataset(
        np.ascontiguousarray(train.data.transpose(0, 3, 1, 2)),
        np.asarray(train.targets, np.int64),
        np.ascontiguousarray(test.data.transpose(0, 3, 1, 2)),
        np.asarray(test.targets, np.int64),
        classes=tuple(map(str, train.classes)),
    )


def _files() -> dict[str, str]:
    """The files and the md5 of their content."""
    from torchvision.datasets import CIFAR100

    listed = {name: md5 for name, md5 in (*CIFAR100.train_list, *CIFAR100.test_list)}
    return listed | {CIFAR100.meta["filename"]: CIFAR100.meta["md5"]}


def _checked(path: Path) -> Path:
    """The path of a file that is the published one."""
    from torchvision.datasets.utils import check_integrity

    if not path.is_file():
        raise DataError(f"{path}: missing. Try: acme data fetch")
    if not check_integrity(path, _files()[path.name]):
        raise DataError(
            f"{path}: damaged (its md5 is not CIFAR-100's). Delete it and: acme data fetch"
        )
    return path


def _archive(scratch: Path) -> Path:
    from torchvision.datasets import CIFAR100

    archive = download(CIFAR100.url, CIFAR100.tgz_md5, scratch)
    with tarfile.open(archive) as members:
        if hasattr(tarfile, "data_filter"):  # Python 3.11.4 on
            members.extraction_filter = tarfile.data_filter
        members.extractall(scratch)
    return scratch / FOLDER
