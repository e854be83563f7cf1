"""The pin of the raw data. ``data.dvc`` holds DVC's hash of the folder; ``data.sha256`` beside it
lists every file, so that one that is not what was pinned can be named. Both are committed, and
nothing here changes them but :func:`pin`.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import yaml

from tasks.errors import DataError, StageError
from tasks.store import atomic_write

_PIN = "acme data pin"


def checksums_path(pin_path: Path) -> Path:
    """Where the checksums of a pin lie."""
    return pin_path.with_suffix(".sha256")


def content_id(pin_path: Path) -> str:
    """The content hash that ``data.dvc`` pins.

    Raises:
        DataError: it is missing or not a pin.
    """
    try:
        return str(yaml.safe_load(pin_path.read_text())["outs"][0]["md5"])
    except OSError as error:
        raise DataError(
            f"{pin_path}: {error.strerror}. To pin the data as they are: {_PIN}"
        ) from None
    except (yaml.YAMLError, KeyError, TypeError, IndexError):
        raise DataError(f"{pin_path}: not a DVC pin. Restore it: git checkout {pin_path}") from None


def folder_id(folder: Path) -> str:
    """The hash that DVC gives a folder: md5 of the JSON list of its files' md5 and paths."""
    listing = [
        {"md5": hashlib.md5(file.read_bytes()).hexdigest(), "relpath": name}
        for name, file in _files(folder).items()
    ]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode()).hexdigest() + ".dir"


def write_checksums(folder: Path, path: Path) -> None:
    """Write the sha256 of every file of ``folder``, as ``sha256sum --check`` reads it there.

    Raises:
        DataError: there is nothing to pin.
    """
    lines = [f"{_sha256(file)}  {name}\n" for name, file in _files(folder).items()]
    if not lines:
        raise DataError(f"{folder}: no files to pin. Try: acme data fetch")
    atomic_write(path, "".join(lines).encode())


def verify(folder: Path, pin_path: Path) -> str:
    """The content id of a folder that is what ``pin_path`` pins.

    Raises:
        DataError: it is not; every file that differs is named.
    """
    expected = content_id(pin_path)
    if not folder.is_dir():
        raise DataError(f"{folder}: missing. Try: acme data fetch")
    if folder_id(folder) == expected:
        return expected
    found = "; ".join(differences(folder, checksums_path(pin_path)))
    raise DataError(
        f"{folder} is not what {pin_path} pins: {found}. To restore it: delete what is wrong, then "
        f"acme data fetch. To accept it on purpose: {_PIN}"
    )


def differences(folder: Path, checksums: Path) -> list[str]:
    """What differs from the checksums, a phrase a file."""
    if not checksums.exists():
        return [f"{checksums} is missing, so the files cannot be told apart"]
    lines = [line.split("  ", 1) for line in checksums.read_text().splitlines()]
    expected = {pair[1]: pair[0] for pair in lines if len(pair) == 2}
    present = _files(folder)
    found = [f"{folder / name} is missing" for name in sorted(expected.keys() - present.keys())]
    found += [f"{folder / name} is unexpected" for name in sorted(present.keys() - expected.keys())]
    found += [
        f"{folder / name} is damaged or tampered with"
        for name in sorted(expected.keys() & present.keys())
        if _sha256(present[name]) != expected[name]
    ]
    return found or [f"every file is as {checksums} says, but {checksums} is of another pin"]


def pin(folder: Path, pin_path: Path) -> None:
    """Accept the folder as it is: new checksums and a new ``data.dvc``.

    Raises:
        DataError: there is nothing to pin.
        StageError: DVC refuses.
    """
    write_checksums(folder, checksums_path(pin_path))
    _dvc_add(folder, pin_path)


def cache(folder: Path, pin_path: Path) -> None:
    """Put verified content into DVC's cache, so that a fresh clone is clean to DVC too."""
    expected = verify(folder, pin_path)
    if _cached(expected):
        return
    _dvc_add(folder, pin_path)
    if content_id(pin_path) != expected:
        raise StageError(f"dvc add changed {pin_path}; restore it: git checkout {pin_path}")


def _cached(content: str) -> bool:
    return Path(f".dvc/cache/files/md5/{content[:2]}/{content[2:]}").exists()


def _dvc_add(folder: Path, pin_path: Path) -> None:
    command = [sys.executable, "-m", "dvc", "add", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StageError(f"dvc add {folder} failed: {done.stderr.strip() or done.stdout.strip()}")
    if not pin_path.exists():
        raise StageError(f"dvc add {folder} left no {pin_path}")


def _files(folder: Path) -> dict[str, Path]:
    """All files below a folder by relative path, in DVC's order."""
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {name: files[name] for name in sorted(files, key=lambda n: n.split("/"))}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
