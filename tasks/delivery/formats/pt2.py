"""torch.export's archive, for a device that has torch alone."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor

from tasks.delivery.formats import Runner
from tasks.delivery.shipped import load_shipped


def write(state: Path, example: Tensor, path: Path) -> None:
    """A program that takes any number of inputs."""
    dynamic = ({0: torch.export.Dim("batch")},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = load_shipped(state).eval()
        torch.export.save(torch.export.export(module, (example,), dynamic_shapes=dynamic), path)


def run(path: Path) -> Runner:
    """The program, on torch."""
    return torch.no_grad()(torch.export.load(path).module())
