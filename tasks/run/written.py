"""What a stage leaves for others: a folder that is replaced whole or not at all, and that says the
sha256 of every file in it, which every reader checks.

``SHA256SUMS`` is what ``sha256sum --check`` reads. A part of a folder that has readers of its own
may have sums of its own, ``SHA256SUMS.<part>``: so a stage depends on no more than it reads.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.run.errors import ArtifactError
from tasks.run.files import abandoned, atomic_write, read_bytes, redo, sha256_of, shown

SUMS = "SHA256SUMS"
NOTHING = hashlib.sha256(b"").hexdigest()


@contextmanager
def rewriting(folder: Path) -> Iterator[Path]:
    """An empty folder that takes the place of ``folder``, with its sums, when the block ends well;
    else ``folder`` stays as it was.

    Raises:
        ArtifactError: it cannot be written.
    """
    with replacing(folder) as new:
        yield new
        write_sums(new)


@contextmanager
def rewriting_in(folder: Path, name: str) -> Iterator[Path]:
    """:func:`rewriting`, for a ``folder`` that others write in too: each thing in the new one takes
    the place of what is called the same, the sums last. ``name`` tells writers apart.

    Raises:
        ArtifactError: it cannot be written.
    """
    with _scratch(folder / name) as new:
        yield new
        write_sums(new)
        for path in sorted(new.iterdir(), key=lambda p: p.name == SUMS):
            _swap(path, folder / path.name)


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """:func:`rewriting`, without sums.

    Raises:
        ArtifactError: it cannot be written.
    """
    with _scratch(folder) as new:
        yield new
        _swap(new, folder)


@contextmanager
def _scratch(place: Path) -> Iterator[Path]:
    """An empty folder beside ``place``, of this process alone."""
    new = place.with_name(f".{place.name}.{os.getpid()}.new")
    with _changing(new):
        for left in place.parent.glob(f".{place.name}.*.new"):
            if left == new or abandoned(left):
                _remove(left)  # a killed run left it
        new.mkdir(parents=True)
    try:
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _swap(new: Path, place: Path) -> None:
    gone = place.with_name(f".{place.name}.old")
    with _changing(place):
        if place.exists():  # else a killed run may have moved it away and no further
            _remove(gone)
            place.rename(gone)
        new.rename(place)
        _remove(gone)


@contextmanager
def _changing(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        words = f"{shown(place)}: cannot write: {error.strerror or error}."
        raise ArtifactError(f"{words} Make it a place that can be written") from None


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def write_sums(folder: Path, names: Sequence[str] | None = None, part: str = "") -> None:
    """Write the sums of the files called so, as sums of a ``part``; else of all files that no
    part's sums are about."""
    if names is None:
        known = _sums(folder)
        files = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(SUMS))
        names = sorted({p.relative_to(folder).as_posix() for p in files} - known.keys())
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in names]
    atomic_write(folder / (f"{SUMS}.{part}" if part else SUMS), "".join(lines).encode())


def read_written(folder: Path, name: str) -> bytes:
    """The content of a file that a stage left in ``folder``.

    Raises:
        ArtifactError: it is not there, or not what was written.
    """
    payload = read_bytes(folder / name)
    check_written(folder, name, hashlib.sha256(payload).hexdigest())
    return payload


def names_written(folder: Path) -> frozenset[str]:
    """All that a stage left in a folder, whether it is there still."""
    return frozenset(_sums(folder))


def read_written_json(folder: Path, name: str) -> Any:
    """:func:`read_written`, of JSON."""
    return json.loads(read_written(folder, name))


def keep_written(folder: Path, name: str, new: Path) -> None:
    """Copy a file that was left in ``folder`` into a ``new`` one. Raises as :func:`read_written`
    does."""
    atomic_write(new / name, read_written(folder, name))


def check_written(folder: Path, name: str, sha256: str) -> None:
    """Raises ArtifactError unless the file that a stage left in ``folder`` had this hash."""
    path, sums = folder / name, _sums(folder)
    if sums.get(name) == sha256:
        return
    if not sums:
        why = f"{SUMS}, which says what was written, is missing or empty"
    elif name not in sums:
        why = f"{SUMS} does not know it"
    elif sha256 == NOTHING:
        why = "empty, which is not what was written"
    elif others := [other for other in sums if sums[other] == sha256]:
        why = f"holds what was written to {others[0]}"
    else:
        why = "changed since it was written: its sha256 is another"
    raise ArtifactError(f"{shown(path)}: {why}. {redo(path)}")


def _sums(folder: Path) -> dict[str, str]:
    """The sha256 of every file of a folder, by name."""
    lines = [
        line
        for file in sorted(folder.glob(f"{SUMS}*"))
        for line in read_bytes(file).decode("utf-8", "replace").split("\n")  # no other ends one
        if line
    ]
    return {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines)}
