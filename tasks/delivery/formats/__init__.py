"""The file formats of a delivered model. Cheap to import: the command line offers them.

A format of :data:`FORMATS` is a file here with two functions: ``write(state, example, path)`` and
``run(path)``, which gives a :data:`Runner`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Runner = Callable[["Tensor"], "Tensor"]
"""What a model takes that ships (:meth:`DataInfo.shipped`) to logits ``(n, classes)``."""


@dataclass(frozen=True)
class Format:
    """How a model is delivered.

    Attributes:
        file: its name in the folder.
        how_to_load: a line for who receives it.
        int8: whether its module has ``quantize(path)``, which replaces it by a smaller form.
        beside: templates that are delivered with it, of the modality's folder.
    """

    file: str
    how_to_load: str
    int8: bool = False
    beside: tuple[str, ...] = ()


FORMATS: dict[str, Format] = {
    "onnx": Format(
        "model.onnx",
        "python run.py (needs onnxruntime; its first lines say what it takes)",
        int8=True,
        beside=("run.py",),
    ),
    "pt2": Format("model.pt2", "torch.export.load('model.pt2').module()(inputs)"),
    "safetensors": Format(
        "model.safetensors",
        "tasks.delivery.shipped.load_shipped(Path('model.safetensors'))(inputs)",
    ),
}


def write(name: str, state: Path, example: Tensor, path: Path) -> None:
    """Write the model of a state file (:func:`tasks.delivery.shipped.ship`) to ``path``.

    Args:
        example: a batch of at least 2 inputs: a batch of 1 would fix the batch size.
    """
    _module(name).write(state, example, path)


def run(name: str, path: Path) -> Runner:
    """A written model, ready to run."""
    runner: Runner = _module(name).run(path)
    return runner


def quantize(name: str, path: Path) -> None:
    """Replace a written model by its INT8 form."""
    _module(name).quantize(path)


def _module(name: str) -> ModuleType:
    return import_module(f"tasks.delivery.formats.{name}")
