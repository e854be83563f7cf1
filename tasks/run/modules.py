"""Modules from their files: a backbone and a header, rebuilt from the configuration beside them."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from models.backbone.config import config_from
from models.backbone.config import restore as restore_backbone
from models.backbone.family import Backbone
from models.header.build import HeaderConfig, restore
from tasks.run.store import Ref, put_tensors, read_tensors


def load_backbone(ref: Ref | Path) -> Backbone:
    """The backbone that a file holds. Raises ArtifactError if the file is missing or damaged."""
    state, config = read_tensors(ref)
    return restore_backbone(config_from(config), state)


def load_header(ref: Ref) -> tuple[nn.Module, HeaderConfig]:
    """A header, full or sliced, masked as it was. Raises ArtifactError as above."""
    state, values = read_tensors(ref)
    config = HeaderConfig.from_dict(values)
    return restore(config, state), config


def put_backbone(vit: Backbone) -> Ref:
    """Keep a ViT with its configuration; :func:`load_backbone` reads it."""
    return put_tensors("backbone", vit.state_dict(), vit.config.to_dict())
