"""Small files in CIFAR-100's own format, taken for the published ones."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest


def write_cifar(root: Path, train: int = 5, test: int = 3, classes: int = 5) -> Path:
    """The real layout: protocol-2 pickles of dictionaries with text keys."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, count in (("train", train), ("test", test)):
        data = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
        labels = (np.arange(count) % classes).tolist()
        content = {"data": data, "fine_labels": labels, "coarse_labels": [0] * count}
        (folder / name).write_bytes(pickle.dumps(content, 2))
    names = [f"class {i}" for i in range(classes)]
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": names}, 2))
    return folder


def publish(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let torchvision take the files of ``folder`` for the published ones."""
    from torchvision.datasets import CIFAR100

    md5 = {p.name: hashlib.md5(p.read_bytes()).hexdigest() for p in folder.iterdir()}
    monkeypatch.setattr(CIFAR100, "train_list", [["train", md5["train"]]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", md5["test"]]])
    monkeypatch.setattr(CIFAR100, "meta", {**CIFAR100.meta, "md5": md5["meta"]})
