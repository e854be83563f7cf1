"""The model that a device runs: made of its parts, written as one file, and rebuilt from it."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from models.backbone.config import build, config_from
from models.backbone.family import Backbone
from models.customized import customized
from models.header.build import HeaderConfig, restore, slim
from tasks.data.modality import DataInfo, of_images
from tasks.links.records import State
from tasks.run.files import atomic_write, write_json
from tasks.run.store import encode, read_tensors


def ship(folder: Path, vit: Backbone, state: State, info: DataInfo) -> tuple[nn.Module, Path]:
    """A device's model without its removed neurons, and its safetensors file in ``folder`` with
    the configuration that rebuilds it."""
    tensors, values = read_tensors(state.header)
    config = HeaderConfig.from_dict(values)
    header = slim(restore(config, tensors), config)
    backbone = vit.config.to_dict()
    image = of_images(info)
    model = customized(vit, header, image.mean, image.std)
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
    """The model that :func:`ship` left, from its file alone."""
    tensors, values = read_tensors(file)
    vit = build(config_from(values["backbone"]))
    header_state = {k[2:]: v for k, v in tensors.items() if k.startswith("2.")}
    header = restore(HeaderConfig.from_dict(values["header"]), header_state)
    channels = len(tensors["0.mean"].flatten())
    model = customized(vit, header, [0.0] * channels, [1.0] * channels)
    model.load_state_dict(tensors)
    return model
