"""The model that a device runs: made of its parts, written as one file, and rebuilt from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from models.backbone.config import config_from, on_meta
from models.backbone.family import Backbone
from models.customized import Standardise, customized, standalone
from models.header.build import HeaderConfig, restore, slim
from tasks.data.modality import DataInfo, of_images
from tasks.links.records import State
from tasks.run.errors import ArtifactError
from tasks.run.files import atomic_write, write_json
from tasks.run.modules import load_backbone
from tasks.run.store import encode, read_tensors


def ship(folder: Path, vit: Backbone, state: State, info: DataInfo) -> tuple[nn.Module, Path]:
    """A device's model without its removed neurons, and its safetensors file in ``folder`` with
    the configuration that rebuilds it."""
    tensors, values = read_tensors(state.header)
    config = HeaderConfig.from_dict(values)
    header = slim(restore(config, tensors), config)
    backbone = vit.config.to_dict()
    image = of_images(info)
    model = customized(vit, header, Standardise(image.mean, image.std))
    description = {
        "backbone": backbone,
        "header": config.to_dict(),
        "classes": list(info.classes),
        "input": "float32 pixels in 0..1, (n, channels, image_size, image_size)",
    }
    file = folder / "model.safetensors"
    atomic_write(file, encode(model.state_dict(), description))
    write_json(folder / "config.json", description)
    return model, file


def load_shipped(file: Path) -> nn.Module:
    """The model that :func:`ship` left, from its file alone.

    Raises:
        ArtifactError: the file is damaged, or describes another model than its weights are of.
    """
    tensors, values = read_tensors(file)
    with _understood(file):
        vit = on_meta(config_from(values["backbone"])).to_empty(device="cpu")
        header_state = {k[2:]: v for k, v in tensors.items() if k.startswith("2.")}
        header = restore(HeaderConfig.from_dict(values["header"]), header_state)
        channels = len(tensors["0.mean"].flatten())
        model = customized(vit, header, Standardise([0.0] * channels, [1.0] * channels))
        model.load_state_dict(tensors)
    return model


def load_registered(file: Path, info: DataInfo) -> nn.Module:
    """The model of a registered version's state: a device's, or a cluster's backbone with its
    reference header; pixels in 0..1 to logits.

    Raises:
        ArtifactError: as :func:`load_shipped`.
    """
    _, values = read_tensors(file)
    if "backbone" in values:
        return load_shipped(file)
    with _understood(file):
        image = of_images(info)
        return standalone(load_backbone(file), Standardise(image.mean, image.std))


@contextmanager
def _understood(file: Path) -> Iterator[None]:
    """What goes wrong here is the file's fault: it was not written by this project."""
    try:
        yield
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        words = " ".join(str(error).split())[:300]
        raise ArtifactError(f"{file.name}: no model of ours: {words}") from None
