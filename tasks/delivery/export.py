"""A device's model as a folder: written, compared with torch's, measured, within the limit."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tasks.data.decoding import decoded
from tasks.data.modality import DataInfo
from tasks.data.tokens import TOKENIZER
from tasks.delivery import formats, measure
from tasks.delivery.formats import FORMATS
from tasks.delivery.shipped import inputs_of
from tasks.delivery.tokenizer import read_tokenizer
from tasks.run.errors import DeliveryError
from tasks.run.files import atomic_write, sha256_of, write_json
from tasks.run.store import Ref, read_tensors
from tasks.run.written import replacing
from tasks.settings.fleet import BYTES_PER_PARAMETER, Device

TEMPLATES = Path(__file__).parent / "templates"
IMPORTED = "from tasks.data.decoding import decoded  # acme export puts the function itself here\n"


@dataclass(frozen=True)
class Source:
    """What is delivered: a registered version's state file, the device that it is for, the device's
    data, and of texts the tokenizer by which they are numbered there."""

    device: Device
    model: str
    version: str
    state: Path
    samples: Ref
    info: DataInfo
    tokenizer: Ref | None = None


def export(source: Source, name: str, int8: bool, out: Path) -> dict[str, Any]:
    """Write the folder ``out``, whole or not at all; returns its ``manifest.json``.

    Raises:
        DeliveryError: the outputs differ from torch's, the file is over the device's limit, or
            quantisation is asked of a format that has none.
        ArtifactError: ``out`` cannot be written.
    """
    if int8 and not FORMATS[name].int8:
        able = ", ".join(f for f in FORMATS if FORMATS[f].int8)
        raise DeliveryError(f"--int8 is for --format {able}; {name} keeps its weights as they are")
    tensors, _ = read_tensors(source.samples)
    info, labels = source.info, tensors["val_labels"].long()
    inputs = inputs_of(source.state, tensors[f"val_{info.raw}"], info, source.tokenizer)
    with replacing(out) as folder:
        path = folder / FORMATS[name].file
        formats.write(name, source.state, inputs[:2], path)
        difference = _compare(source, name, path, inputs)
        measure.require_equal(difference, name)
        float_bytes = path.stat().st_size
        if int8:
            formats.quantize(name, path)
            difference = _compare(source, name, path, inputs)
        _check_limit(source.device, path, name)
        measured = _measured(source, name, path, inputs, labels)
        measured |= {"max_difference": difference, "float_bytes": float_bytes}
        for file in FORMATS[name].beside:
            template = (TEMPLATES / info.modality / file).read_text()
            atomic_write(folder / file, standalone(template).encode())
        if tokenizer := read_tokenizer(source.state):
            atomic_write(folder / TOKENIZER, tokenizer.encode())
        manifest = _manifest(source, name, int8, folder, measured)
        write_json(folder / "manifest.json", manifest)
    return manifest


def standalone(template: str) -> str:
    """A template with the function itself where it imports how a picture is read: it needs nothing
    of this project then."""
    return template.replace(IMPORTED, f"\n{inspect.getsource(decoded)}\n")


def _compare(source: Source, name: str, path: Path, inputs: torch.Tensor) -> float:
    ours = formats.run("safetensors", source.state)
    return measure.largest_difference(formats.run(name, path), ours, inputs)


def _measured(
    source: Source, name: str, path: Path, inputs: torch.Tensor, labels: torch.Tensor
) -> dict[str, Any]:
    """Both models, side by side: torch's as trained, and what is delivered."""
    found: dict[str, Any] = {}
    for who, kind, file in (
        ("torch", "safetensors", source.state),
        ("delivered", name, path),
    ):
        model = formats.run(kind, file)
        found[who] = {
            "bytes": file.stat().st_size,
            "val_accuracy": measure.accuracy(model, inputs, labels),
            **measure.latency(model, inputs),
        }
    return found


def _check_limit(device: Device, path: Path, name: str) -> None:
    limit, size = device.storage_limit * BYTES_PER_PARAMETER, path.stat().st_size
    if size > limit:
        others = ", ".join(f"--format {f}" for f in FORMATS if f != name)
        raise DeliveryError(
            f"{device.name}: {path.name} has {size:,} bytes, the device's limit is {limit:,}. "
            f"Nothing is delivered. Try {others} or --int8, or raise its storage_limit"
        )


def _manifest(
    source: Source, name: str, int8: bool, folder: Path, measured: dict[str, Any]
) -> dict[str, Any]:
    _, config = read_tensors(source.state)
    beside = {"tokenizer": TOKENIZER} if TOKENIZER in config else {}
    return {
        "device": source.device.name,
        "model": source.model,
        "version": source.version,
        "format": name,
        "int8": int8,
        "file": FORMATS[name].file,
        "input": {"what": source.info.takes, "shape": ["n", *source.info.shape], **beside},
        "output": {"what": "logits", "shape": ["n", len(config["classes"])]},
        "classes": config["classes"],
        "answers": config.get("answers", config["classes"]),
        "limits": _limits(source.device),
        "how_to_load": FORMATS[name].how_to_load,
        "measured_here": measured,
        "sha256": {p.name: sha256_of(p) for p in sorted(folder.iterdir())},
    }


def _limits(device: Device) -> dict[str, Any]:
    """The device's limits, with the storage limit in bytes too."""
    limit_bytes = device.storage_limit * BYTES_PER_PARAMETER
    return {
        **device.model_dump(exclude={"id", "group", "wanted"}),
        "storage_limit_bytes": limit_bytes,
    }
