"""What tasks exchange: content by its hash, in a store that finds it.

Tasks pass :class:`Ref` records to each other, never tensors and never paths: a reference means the
same on every machine whose store holds the content. Tensors are safetensors beside a JSON
configuration, never pickle.
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

from tasks.run.errors import ArtifactError
from tasks.run.files import atomic_write, know_sha256, known_sha256, read_bytes, redo, sha256_of
from tasks.run.written import check_written

PLACE = "ACME_STORE"
"""The variable that names this process's store, as PREFECT_LOCAL_STORAGE_PATH names the place of
cached results: what refers to content and the content live and die together."""


@dataclass(frozen=True)
class Ref:
    """Content by its hash, and of which kind it is: what caches are keyed by and records hold."""

    kind: str
    sha256: str


@dataclass(frozen=True)
class Store:
    """A folder of contents: ``<kind>/<sha256>``. Nothing in it is ever written over by another
    content, and every read checks the hash."""

    folder: Path

    @classmethod
    def here(cls) -> Store:
        """This process's store: :data:`PLACE`, else below the working folder."""
        return cls(Path(os.environ.get(PLACE, "artifacts/work/store")))

    def path(self, ref: Ref) -> Path:
        """Where a content lies, or would."""
        return self.folder / ref.kind / ref.sha256

    def put(self, kind: str, payload: bytes) -> Ref:
        """Keep a content. Raises ArtifactError if it cannot be written."""
        ref = Ref(kind, hashlib.sha256(payload).hexdigest())
        atomic_write(self.path(ref), payload)
        know_sha256(self.path(ref), ref.sha256)
        return ref

    def adopt(self, kind: str, file: Path) -> Ref:
        """Keep the content of a file that lies elsewhere, as a stage or a user left it.

        Raises:
            ArtifactError: it cannot be read.
        """
        ref = Ref(kind, sha256_of(file))
        if known_sha256(self.path(ref)) != ref.sha256:  # else it is there, as this process left it
            ref = self.put(kind, read_bytes(file))  # what was damaged is whole again
        return ref

    def read(self, ref: Ref) -> bytes:
        """A content. Raises ArtifactError if it is missing or is not the one referred to."""
        path = self.path(ref)
        try:
            payload = path.read_bytes()
        except OSError as error:
            raise ArtifactError(f"{path}: {error.strerror}. {self.redo(ref)}") from None
        if hashlib.sha256(payload).hexdigest() != ref.sha256:
            raise ArtifactError(f"{path}: content changed since it was written. {self.redo(ref)}")
        return payload

    def redo(self, ref: Ref) -> str:
        """What to do about a content that is missing or damaged: while a cached result refers to
        it, it is not made again, so both must go."""
        if PLACE not in os.environ:
            return redo(self.path(ref))
        results = os.environ.get("PREFECT_LOCAL_STORAGE_PATH", "Prefect's cached results")
        return f"Delete the folders {self.folder} ({PLACE}) and {results}, and run again."


def put(kind: str, payload: bytes) -> Ref:
    """Keep a content in this process's store."""
    return Store.here().put(kind, payload)


def adopt(kind: str, file: Path) -> Ref:
    """Keep a file's content in this process's store."""
    return Store.here().adopt(kind, file)


def take(kind: str, folder: Path, name: str) -> Ref:
    """Keep, in this process's store, the content of a file that a stage left in ``folder``.

    Raises:
        ArtifactError: it is not there, or not what was written.
    """
    ref = adopt(kind, folder / name)
    check_written(folder, name, ref.sha256)
    return ref


def read(ref: Ref) -> bytes:
    """A content of this process's store; checked."""
    return Store.here().read(ref)


def publish(ref: Ref, path: Path) -> Path:
    """Copy a content to a plain ``path``: what a stage leaves for DVC.

    Raises:
        ArtifactError: the content is missing or is not the one referred to.
    """
    atomic_write(path, read(ref))
    know_sha256(path, ref.sha256)
    return path


def encode(tensors: Mapping[str, Tensor], config: Mapping[str, Any] | None = None) -> bytes:
    """Tensors as safetensors bytes, with ``config`` as JSON in the header's metadata."""
    dense = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    metadata = {"config": json.dumps(config, sort_keys=True)} if config is not None else None
    return save_tensors(dense, metadata=metadata)


def decode(payload: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What :func:`encode` encoded. Raises SafetensorError or ValueError for anything else."""
    try:
        tensors = load_tensors(payload)
        length = int.from_bytes(payload[:8], "little")  # of the JSON header that follows
        metadata = json.loads(payload[8 : 8 + length]).get("__metadata__", {})
        return tensors, dict(json.loads(metadata.get("config", "{}")))
    except (AttributeError, LookupError, RecursionError, TypeError) as error:
        raise ValueError(f"no header of ours: {type(error).__name__}: {error}") from None


def put_tensors(
    kind: str, tensors: Mapping[str, Tensor], config: Mapping[str, Any] | None = None
) -> Ref:
    """Keep a state with its configuration; returns its reference."""
    return put(kind, encode(tensors, config))


def read_tensors(source: Ref | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the configuration that :func:`put_tensors` kept, or that a file holds.

    Raises:
        ArtifactError: the content is missing, damaged, or (of a reference) another.
    """
    payload = read(source) if isinstance(source, Ref) else read_bytes(source)
    try:
        return decode(payload)
    except (SafetensorError, ValueError) as error:
        store = Store.here()
        path = store.path(source) if isinstance(source, Ref) else source
        then = store.redo(source) if isinstance(source, Ref) else redo(path)
        raise ArtifactError(f"{path}: not a safetensors file ({error}). {then}") from None
