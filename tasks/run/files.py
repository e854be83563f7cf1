"""Files, written whole or not at all: to a temporary name, brought to the disk and renamed, so that
a killed worker, a lost machine or a full disk leaves no half-written file behind."""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from fnmatch import filter as named
from pathlib import Path
from typing import Any

from boltons.fileutils import atomic_save

from tasks.run.errors import ArtifactError, said

ARTIFACTS = "artifacts"
"""The folder that holds everything that a run makes."""

WRITTEN_BY = {
    **{stage: f"acme stage {stage}" for stage in ("partition", "backbone", "customize")},
    **dict.fromkeys(("summary.json", "SHA256SUMS", "models"), "acme stage evaluate"),
    "evaluation": "acme evaluate",
}
"""The command that writes what lies in ``artifacts/`` under this name; all else is made anew when
it is gone."""

MOMENT_S = 60.0
"""No write takes that long."""


def atomic_write(path: Path, payload: bytes) -> None:
    """Write ``payload`` so that ``path`` holds either its old content or all of the new.

    Raises:
        ArtifactError: the file cannot be written (a full disk, no permission).
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_save(path, part_file=partial.name, overwrite_part=True) as file:
            file.write(payload)
    except OSError as error:
        with suppress(OSError):  # a full disk leaves it
            partial.unlink(missing_ok=True)
        error.filename = path  # not the temporary name
        raise ArtifactError(f"cannot write {said(error) or f'{path}: {error}'}") from None


def sweep(folder: Path) -> None:
    """Remove what writers that were killed left below a folder. What is a moment old stays: its
    writer may run on another machine."""
    for above, _, names in os.walk(folder):
        for left in (Path(above, name) for name in named(names, ".*.[0-9]*.partial")):
            with suppress(OSError):  # another run was quicker, or this one may not
                if abandoned(left) and time.time() - left.stat().st_mtime > MOMENT_S:
                    left.unlink()


def abandoned(path: Path) -> bool:
    """Whether a temporary path, ``.<name>.<pid>.<what>``, is of no process that runs here."""
    try:
        os.kill(int(path.name.split(".")[-2]), 0)
    except (ProcessLookupError, OverflowError, ValueError):
        return True
    except PermissionError:
        return False
    return False


_hashes: dict[tuple[int, ...], str] = {}
"""Of the files that this process has read or written whole, by where they lie on the disk, their
size and when they were last changed: what is so known is not read again."""


def known_sha256(path: Path) -> str | None:
    """The content hash of a file that this process knows, and that looks as it did then."""
    try:
        return _hashes.get(_look(path))
    except OSError:
        return None


def know_sha256(path: Path, sha256: str) -> None:
    """Remember what a file holds that was just read or written."""
    _hashes[_look(path)] = sha256


def sha256_of(path: Path) -> str:
    """The content hash of a file. Raises ArtifactError if it cannot be read."""
    if known := known_sha256(path):
        return known
    try:
        with path.open("rb") as file:
            look = _look(
                path
            )  # before it is read: what changes it meanwhile makes it look otherwise
            found = _hashes[look] = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None
    return found


def _look(path: Path) -> tuple[int, ...]:
    found = path.stat()
    changed = found.st_mtime_ns, found.st_ctime_ns  # the latter nobody can set back
    return found.st_dev, found.st_ino, found.st_size, *changed


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys, so that equal content gives equal bytes."""
    payload = (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
    atomic_write(path, payload)


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises ArtifactError if it is missing or damaged."""
    try:
        return json.loads(read_bytes(path))
    except ValueError as error:
        raise ArtifactError(f"{path}: not JSON ({error}). {redo(path)}") from None


def redo(path: Path, missing: bool = False) -> str:
    """What to do about a file that is damaged or ``missing``: of what a stage left, `acme run`
    notices that it is gone; not, where neither size nor time changed, that it is another.

    What a cached result refers to is not written again while that result is there, so both must
    go."""
    above = next((folder for folder in path.parents if folder.name == ARTIFACTS), None)
    if above is None:
        return "Restore it, and run again."
    first, *_ = path.relative_to(above).parts
    if command := WRITTEN_BY.get(first):
        return f"Try: {'acme run' if missing and 'stage' in command else command}"
    return f"Delete the folder {shown(above / first)}, which is made anew, and run again."


def shown(path: Path) -> Path:
    """A path as a person wants to read it: from the working folder where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def read_bytes(path: Path) -> bytes:
    """The content of a file. Raises ArtifactError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> ArtifactError:
    """Why a file cannot be read, and what to do about it."""
    missing = isinstance(error, FileNotFoundError)
    return ArtifactError(f"{shown(path)}: {error.strerror}. {redo(path, missing)}")
