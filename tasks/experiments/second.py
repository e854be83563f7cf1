"""The second data set of Fig. 13: scikit-learn's digits, written as a folder of class folders."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tasks.experiments.scale import merged
from tasks.run.store import Store


def second_folder(overlay: Mapping[str, Any]) -> dict[str, Any]:
    """``overlay`` with its data folder; where it names none, the digits that come along."""
    if "folder" in overlay.get("data", {}):
        return dict(overlay)
    digits = Store.here().folder.with_name("digits")
    if not digits.is_dir():
        partial = digits.with_name(f".digits.{os.getpid()}.partial")
        write_digits(partial)
        partial.rename(digits)  # whole or not at all: a killed run leaves no part of a data set
    return merged(overlay, {"data": {"folder": str(digits)}})


def write_digits(folder: Path) -> None:
    """1,797 real hand-written digits of 8 x 8 pixels, one PNG an image, one folder a class."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for index, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        where = folder / str(label)
        where.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15.9375).astype(np.uint8)).save(where / f"{index:04d}.png")
