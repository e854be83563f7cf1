"""Files that hold models and features: safetensors beside a JSON configuration, never pickle.

Tasks pass :class:`Ref` records to each other, never tensors. Content is written to a temporary
name and renamed, so that a killed worker or a full disk leaves no half-written file behind.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from tasks.errors import ArtifactError


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
        partial.write_bytes(payload)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ArtifactError(
            f"{path}: cannot write: {error.strerror}. Free some space and run again: finished "
            "steps are kept."
        ) from None


def sha256_of(path: Path) -> str:
    """The content hash of a file. Raises ArtifactError if it cannot be read."""
    return hashlib.sha256(_read(path)).hexdigest()


def encode(tensors: Mapping[str, Tensor], config: Mapping[str, Any] | None = None) -> bytes:
    """Tensors as safetensors bytes, with ``config`` as JSON in the header's metadata."""
    dense = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    metadata = {"config": json.dumps(config, sort_keys=True)} if config is not None else None
    return save_tensors(dense, metadata=metadata)


def decode(payload: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What :func:`encode` encoded."""
    tensors = load_tensors(payload)
    length = int.from_bytes(payload[:8], "little")  # of the JSON header that follows
    metadata = json.loads(payload[8 : 8 + length]).get("__metadata__", {})
    return tensors, json.loads(metadata.get("config", "{}"))


def put(folder: Path, name: str, payload: bytes, suffix: str = "safetensors") -> Ref:
    """Write ``payload`` under a name that holds its hash, so that no cached result of an earlier
    run ever refers to a file that a later run has overwritten."""
    sha256 = hashlib.sha256(payload).hexdigest()
    path = folder / f"{name}-{sha256[:12]}.{suffix}"
    atomic_write(path, payload)
    return Ref(str(path), sha256)


def put_tensors(
    folder: Path, name: str, tensors: Mapping[str, Tensor], config: Mapping[str, Any] | None = None
) -> Ref:
    """Write a state and its configuration as one content-named file; returns its reference."""
    return put(folder, name, encode(tensors, config))


def publish(ref: Ref, path: Path) -> Path:
    """Copy a referenced file to a plain ``path``: what a stage leaves for DVC.

    Raises:
        ArtifactError: the file is missing or is not the one referred to.
    """
    payload = _read(Path(ref.path))
    if hashlib.sha256(payload).hexdigest() != ref.sha256:
        raise ArtifactError(f"{ref.path}: content changed since it was written. {_REDO}")
    atomic_write(path, payload)
    return path


def read_tensors(ref: Ref | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the configuration of a file that :func:`put_tensors` wrote.

    Raises:
        ArtifactError: the file is missing, damaged, or (for a Ref) not the one referred to.
    """
    path = Path(ref.path) if isinstance(ref, Ref) else ref
    payload = _read(path)
    if isinstance(ref, Ref) and hashlib.sha256(payload).hexdigest() != ref.sha256:
        raise ArtifactError(f"{path}: content changed since it was written. {_REDO}")
    try:
        return decode(payload)
    except SafetensorError as error:
        raise ArtifactError(f"{path}: not a safetensors file ({error}). {_REDO}") from None


def write_json(path: Path, content: Any) -> Ref:
    """Write JSON with sorted keys, so that equal content gives equal bytes."""
    payload = (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
    atomic_write(path, payload)
    return Ref(str(path), hashlib.sha256(payload).hexdigest())


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises ArtifactError if it is missing or damaged."""
    try:
        return json.loads(_read(path))
    except ValueError as error:
        raise ArtifactError(f"{path}: not JSON ({error}). {_REDO}") from None


WORK = Path("artifacts/work")
"""What tasks exchange and Prefect caches, owned by Prefect; safe to delete between runs."""

_REDO = "Delete it (or the folder artifacts/work) and run the stage again."


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}. Run the stage that writes it.") from None
