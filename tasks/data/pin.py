"""The pin of the raw data. ``data.dvc`` holds DVC's hash of the folder; ``data.sha256`` beside it
lists every file, so that one that is not what was pinned can be named. Both are committed, and
nothing here changes them but :func:`pin`.

DVC itself is not asked whether the data are right: on changed data ``dvc repro`` and ``dvc add``
rewrite ``data.dvc`` without a word. It also takes no ``.dvc`` file as a stage's dependency, which
is why the first stage depends on ``data.sha256``.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tasks.run.errors import DataError, SettingsError, StageError
from tasks.run.files import atomic_write
from tasks.run.words import counted
from tasks.settings.fields import read_yaml, yaml_text

DVC_TIMEOUT_S = 3600.0  # a large image folder is copied into the cache
NOT_DVCS = {".dvc", ".git", ".hg"}  # folders that DVC leaves out wherever they lie
_PIN = "acme data pin"


def checksums_path(pin_path: Path) -> Path:
    """Where the checksums of a pin lie."""
    return pin_path.with_suffix(".sha256")


def content_id(pin_path: Path) -> str:
    """The content hash that ``data.dvc`` pins.

    Raises:
        DataError: it is missing or not a pin.
    """
    return str(_pinned(pin_path)["md5"])


def folder_id(folder: Path) -> str:
    """The hash that DVC 3 gives a folder: md5 of the JSON list of its files' md5 and paths."""
    listing = [
        {"md5": _digest(file, "md5"), "relpath": name} for name, file in files_of(folder).items()
    ]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode()).hexdigest() + ".dir"


def write_checksums(folder: Path, path: Path) -> None:
    """Write the sha256 of every file of ``folder``, as ``sha256sum --check`` reads it there.

    Raises:
        DataError: there is nothing to pin, or a file's name holds a line break or is not UTF-8.
    """
    files = files_of(folder)
    if not files:
        raise DataError(f"{folder}: no files to pin. Try: acme data fetch")
    for name in files:
        if set(name) & {"\n", "\r", "\\"} or name != name.encode(errors="replace").decode():
            raise DataError(f"{folder}: cannot pin {name!a}: rename it without the odd character")
    lines = [f"{_digest(file, 'sha256')}  {name}\n" for name, file in files.items()]
    atomic_write(path, "".join(lines).encode())


def pins(folder: Path, pin_path: Path) -> bool:
    """Whether ``folder`` is the one that ``pin_path`` is about.

    Raises:
        DataError: there is no pin, or the file is none.
    """
    path = _pinned(pin_path).get("path")
    return not path or (pin_path.parent / path).resolve() == folder.resolve()


def verify(folder: Path, pin_path: Path) -> str:
    """The content id of a folder that is what ``pin_path`` pins; nothing is changed.

    Raises:
        DataError: it is not; every file that differs is named.
    """
    expected = content_id(pin_path)
    if not folder.is_dir():
        raise DataError(f"{folder}: missing. Try: acme data fetch")
    if not pins(folder, pin_path):
        path = _pinned(pin_path)["path"]
        raise DataError(f"{pin_path} pins {path}, not {folder}. To pin {folder} instead: {_PIN}")
    if folder_id(folder) == expected:
        return expected
    found = "; ".join(differences(folder, pin_path))
    raise DataError(
        f"{folder} is not what {pin_path} pins: {found}. To restore it: delete what is wrong, then "
        f"acme data fetch. To accept it on purpose: {_PIN}"
    )


def differences(folder: Path, pin_path: Path) -> list[str]:
    """What differs from the pin's checksums, a phrase a file."""
    checksums = checksums_path(pin_path)
    if not checksums.exists():
        return [f"{checksums} is missing, so the files cannot be told apart"]
    lines = [line.split("  ", 1) for line in checksums.read_text("utf-8", "replace").splitlines()]
    expected = {pair[1]: pair[0] for pair in lines if len(pair) == 2}
    present = files_of(folder)
    found = [f"{folder / name} is missing" for name in sorted(expected.keys() - present.keys())]
    found += [f"{folder / name} is unexpected" for name in sorted(present.keys() - expected.keys())]
    changed = [
        name
        for name in sorted(expected.keys() & present.keys())
        if _digest(present[name], "sha256") != expected[name]
    ]
    lost = None if found else _pinned(pin_path).get("size", 0) - _size(present)
    for name in changed:
        if len(changed) == 1 and lost and lost > 0:
            found.append(f"{folder / name} is truncated (it lacks {counted(lost, 'byte')})")
        else:
            found.append(f"{folder / name} is damaged or tampered with")
    return found or [f"every file is as {checksums} says, but {checksums} is of another pin"]


def pin(folder: Path, pin_path: Path) -> None:
    """Accept the folder as it is: new checksums and a new ``data.dvc``, content in DVC's cache.

    ``data.dvc`` is written here and not by ``dvc add``, which names its file after the folder and
    so would leave ``data.dvc`` as it was whenever the folder is called something else.

    Raises:
        DataError: there is nothing to pin.
        StageError: DVC refuses; both files are as before.
    """
    kept = {path: _content(path) for path in (checksums_path(pin_path), pin_path)}
    write_checksums(folder, checksums_path(pin_path))
    files = files_of(folder)
    out = {
        "md5": folder_id(folder),
        "size": _size(files),
        "nfiles": len(files),
        "hash": "md5",
        "path": Path(os.path.relpath(folder, pin_path.parent)).as_posix(),
    }
    atomic_write(pin_path, yaml_text({"outs": [out]}).encode())
    try:
        _commit(pin_path, str(out["md5"]))
    except StageError:
        _restore(kept)
        raise


def cache(folder: Path, pin_path: Path) -> None:
    """Put verified content into DVC's cache, so that a fresh clone is clean to DVC too.

    Raises:
        DataError: the folder is not what is pinned.
        StageError: DVC refuses; ``data.dvc`` is as before.
    """
    expected = verify(folder, pin_path)
    if (pin_path.parent / f".dvc/cache/files/md5/{expected[:2]}/{expected[2:]}").exists():
        return
    kept = {pin_path: _content(pin_path)}
    try:
        _commit(pin_path, expected)
    except StageError:
        _restore(kept)
        raise


def _commit(pin_path: Path, expected: str) -> None:
    """Content into DVC's cache. Raises StageError if DVC fails or finds other content."""
    command = [sys.executable, "-m", "dvc", "commit", "--force", pin_path.name]
    try:
        done = subprocess.run(
            command,
            cwd=pin_path.parent,
            capture_output=True,
            text=True,
            timeout=DVC_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StageError(f"dvc commit {pin_path} did not end in {DVC_TIMEOUT_S:.0f} s") from None
    if done.returncode:
        words = done.stderr.strip() or done.stdout.strip()
        start = " To make one: git init && dvc init" if "DVC repository" in words else ""
        raise StageError(f"dvc commit {pin_path} failed: {words}{start}")
    if content_id(pin_path) != expected:
        raise StageError(f"the data behind {pin_path} changed while DVC read them; try again")


def _restore(kept: dict[Path, bytes | None]) -> None:
    for path, content in kept.items():
        if content is None:
            path.unlink(missing_ok=True)
        else:
            atomic_write(path, content)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _pinned(pin_path: Path) -> dict[str, Any]:
    if not pin_path.is_file():
        raise DataError(f"{pin_path}: No such file. To pin the data as they are: {_PIN}")
    try:
        out: dict[str, Any] = read_yaml(pin_path)["outs"][0]
        if not isinstance(out["md5"], str):
            raise TypeError
        return out
    except (SettingsError, KeyError, TypeError, IndexError):
        raise DataError(f"{pin_path}: not a DVC pin. Restore it: git checkout {pin_path}") from None


def files_of(folder: Path) -> dict[str, Path]:
    """All files below a folder by relative path, those that DVC sees and in its order.

    Links to folders are not followed (nor does DVC).
    """
    found = ((p.relative_to(folder), p) for p in folder.rglob("*") if p.is_file())
    files = {r.as_posix(): p for r, p in found if not NOT_DVCS & set(r.parts[:-1])}
    return {name: files[name] for name in sorted(files)}


def _size(files: dict[str, Path]) -> int:
    return sum(path.stat().st_size for path in files.values())


def _digest(path: Path, algorithm: str) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot read: {error.strerror}") from None
