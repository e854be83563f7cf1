"""A file of weights that the settings name, as its tensors by name."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from tasks.run.errors import SettingsError

WHERE = "backbone.reference.checkpoint"


@contextmanager
def named_file(payload: bytes) -> Iterator[Path]:
    """The weights as a file whose name says its format, as timm wants it."""
    safe = payload[8:9] == b"{"  # the header of safetensors, behind its length; else torch's
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"checkpoint.{'safetensors' if safe else 'pth'}"
        path.write_bytes(payload)
        yield path


def state_of(payload: bytes) -> dict[str, Tensor]:
    """The tensors of a file that safetensors or ``torch.save`` wrote; nothing in it is run.

    Raises:
        SettingsError: it is no such file.
    """
    from timm.models import load_state_dict

    try:
        with named_file(payload) as path:
            state: dict[str, Tensor] = load_state_dict(str(path), weights_only=True)
    except Exception as error:  # zip's, pickle's, safetensors' and torch's own errors
        words = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise SettingsError(
            f"{WHERE}: not weights as safetensors or torch.save write them ({words[0][:100]}): "
            "give another file, or null"
        ) from None
    if not state or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise SettingsError(f"{WHERE}: the file holds no tensors by name: give another, or null")
    return state


def require_of_shape(state: Mapping[str, Tensor], needed: Mapping[str, Tensor]) -> None:
    """Raises SettingsError if weights are not exactly those of a model; names one that differs."""
    wrong = sorted(state.keys() ^ needed.keys()) or [
        name for name in needed if state[name].shape != needed[name].shape
    ]
    if wrong:
        shapes = (tuple(s[wrong[0]].shape) if wrong[0] in s else "none" for s in (needed, state))
        raise SettingsError(
            "{}: the file is of another model: of {}, the settings' dimensions make {} and the "
            "file has {}".format(WHERE, wrong[0], *shapes)
        )


def require_of_timm(state: Mapping[str, Tensor], name: str) -> None:
    """Raises SettingsError if weights are not those of a timm model, its classifier aside. (timm
    itself loads what fits and only warns of the rest.)"""
    import timm

    with torch.device("meta"):
        needed = timm.create_model(name).state_dict()
    missing = [k for k in needed if k not in state and not k.startswith("head.")]
    if missing:
        raise SettingsError(
            f"{WHERE}: the file is not of {name}: it has no {missing[0]} "
            f"(it lacks {len(missing)} of {len(needed)} tensors)"
        )
