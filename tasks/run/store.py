"""Tensors in files: safetensors beside a JSON configuration, never pickle.

Tasks pass :class:`~tasks.run.files.Ref` records to each other, never tensors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from tasks.run.errors import ArtifactError
from tasks.run.files import Ref, put, read_bytes, redo


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


def put_tensors(
    folder: Path, name: str, tensors: Mapping[str, Tensor], config: Mapping[str, Any] | None = None
) -> Ref:
    """Write a state and its configuration as one content-named file; returns its reference."""
    return put(folder, name, encode(tensors, config))


def read_tensors(ref: Ref | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the configuration of a file that :func:`put_tensors` wrote.

    Raises:
        ArtifactError: the file is missing, damaged, or (for a Ref) not the one referred to.
    """
    path = Path(ref.path) if isinstance(ref, Ref) else ref
    payload = read_bytes(path)
    if isinstance(ref, Ref) and hashlib.sha256(payload).hexdigest() != ref.sha256:
        raise ArtifactError(f"{path}: content changed since it was written. {redo(path)}")
    try:
        return decode(payload)
    except SafetensorError as error:
        raise ArtifactError(f"{path}: not a safetensors file ({error}). {redo(path)}") from None
