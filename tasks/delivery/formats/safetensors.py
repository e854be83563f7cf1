"""Weights alone, for a device that has this project."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from torch import Tensor

from tasks.delivery.formats import Runner
from tasks.delivery.shipped import load_shipped


def write(state: Path, example: Tensor, path: Path) -> None:
    """The state file as it is."""
    shutil.copyfile(state, path)


def run(path: Path) -> Runner:
    """The model that the file's configuration rebuilds."""
    return torch.no_grad()(load_shipped(path).eval())
