"""Files that hold what tasks exchange: written whole or not at all, referred to by content.

Content is written to a temporary name, brought to the disk and renamed, so that a killed worker, a
lost machine or a full disk leaves no half-written file behind.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boltons.fileutils import atomic_save

from tasks.run.errors import ArtifactError

WORK = Path("artifacts/work")
"""What tasks exchange and Prefect caches, owned by Prefect; safe to delete between runs."""


@dataclass(frozen=True)
class Ref:
    """A file and the hash of its content: what tasks exchange and what caches are keyed by."""

    path: str
    sha256: str


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
        partial.unlink(missing_ok=True)  # a full disk leaves it
        raise ArtifactError(
            f"{path}: cannot write: {error.strerror}. Free some space and run again: finished "
            "steps are kept."
        ) from None


def sha256_of(path: Path) -> str:
    """The content hash of a file. Raises ArtifactError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None


def put(folder: Path, name: str, payload: bytes, suffix: str = "safetensors") -> Ref:
    """Write ``payload`` under a name that holds its hash, so that no cached result of an earlier
    run ever refers to a file that a later run has overwritten."""
    sha256 = hashlib.sha256(payload).hexdigest()
    path = folder / f"{name}-{sha256[:12]}.{suffix}"
    atomic_write(path, payload)
    return Ref(str(path), sha256)


def publish(ref: Ref, path: Path) -> Path:
    """Copy a referenced file to a plain ``path``: what a stage leaves for DVC.

    Raises:
        ArtifactError: the file is missing or is not the one referred to.
    """
    payload = read_bytes(Path(ref.path))
    if hashlib.sha256(payload).hexdigest() != ref.sha256:
        raise ArtifactError(
            f"{ref.path}: content changed since it was written. {redo(Path(ref.path))}"
        )
    atomic_write(path, payload)
    return path


def write_json(path: Path, content: Any) -> Ref:
    """Write JSON with sorted keys, so that equal content gives equal bytes."""
    payload = (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
    atomic_write(path, payload)
    return Ref(str(path), hashlib.sha256(payload).hexdigest())


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises ArtifactError if it is missing or damaged."""
    try:
        return json.loads(read_bytes(path))
    except ValueError as error:
        raise ArtifactError(f"{path}: not JSON ({error}). {redo(path)}") from None


def redo(path: Path) -> str:
    """What to do about a file that is missing or damaged. What a cached result refers to is not
    written again while that result is there, so both must go."""
    if path.resolve().is_relative_to(WORK.resolve()):
        return f"Delete the folder {WORK}, which is made anew, and run again."
    return "Run the stage that writes it: acme run."


def read_bytes(path: Path) -> bytes:
    """The content of a file. Raises ArtifactError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> ArtifactError:
    """Why a file cannot be read, and what to do about it."""
    return ArtifactError(f"{path}: {error.strerror}. {redo(path)}")
