"""A small device model that answers one class, whatever it is shown; as the pipeline ships it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from models.backbone.config import build
from models.backbone.families.vit import ViTConfig
from models.customized import customized
from models.header.build import build_header
from models.header.config import HeaderConfig
from models.standardise import Standardise
from tasks.run.store import encode

BACKBONE = ViTConfig(
    image_size=2,
    patch_size=1,
    channels=1,
    classes=3,
    dim=4,
    depth=1,
    heads=1,
    head_dim=4,
    mlp_hidden=4,
)
HEADER = HeaderConfig("linear", dim=4, shape=(2, 2), classes=3, channels=1, hidden=1)


@dataclass(frozen=True)
class Constant:
    """The file of such a model, and how many parameters it has."""

    file: Path
    parameters: int


def constant(folder: Path, label: int) -> Constant:
    """Write the model that answers ``label`` into a folder."""
    header = build_header(HEADER)
    with torch.no_grad():
        for name, value in header.named_parameters():
            value.zero_()
            if name.endswith("bias"):
                value[label] = 1
    model = customized(build(BACKBONE), header, Standardise([0.5], [0.5]))
    described = {"backbone": BACKBONE.to_dict(), "header": HEADER.to_dict(), "classes": list("abc")}
    file = folder / f"constant-{label}.safetensors"
    file.write_bytes(encode(model.state_dict(), described))
    return Constant(file, sum(p.numel() for p in model.parameters()))
