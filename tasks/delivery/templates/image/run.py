"""Run this folder's model on an image: python run.py IMAGE [IMAGE ...]

Needs onnxruntime and numpy. IMAGE is a .npy of pixels (uint8, or floats in 0..1) of the shape that
manifest.json says, or, where Pillow is installed, any picture.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.data.decoding import decoded  # acme export puts the function itself here

HERE = Path(__file__).resolve().parent


def main(paths: list[str]) -> None:
    manifest = json.loads((HERE / "manifest.json").read_text("utf-8"))
    if not paths:
        sys.exit("python run.py IMAGE [IMAGE ...]")
    model = HERE / manifest["file"]
    if hashlib.sha256(model.read_bytes()).hexdigest() != manifest["sha256"][model.name]:
        sys.exit(f"{model.name} is damaged: its checksum is not the one in manifest.json")
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    shape = tuple(manifest["input"]["shape"][1:])
    pixels = np.stack([read(Path(path), shape) for path in paths])
    [logits] = session.run(None, {"pixels": pixels})
    for path, shares in zip(paths, softmax(logits), strict=True):
        best = int(shares.argmax())
        print(f"{path}: {manifest['classes'][best]} ({shares[best]:.3f})")


def read(path: Path, shape: tuple) -> NDArray:
    """One image as float32 pixels in 0..1, of ``shape`` (channels, height, width)."""
    try:
        image = np.load(path) if path.suffix == ".npy" else decoded(path, shape)
    except ImportError:
        sys.exit(f"{path}: install Pillow to read pictures, or give a .npy")
    except Exception as error:
        sys.exit(f"{path}: cannot read: {error}")
    image = image.astype(np.float32) / 255 if image.dtype == np.uint8 else image.astype(np.float32)
    if image.shape != shape:
        sys.exit(f"{path}: shape {image.shape}, the model takes {shape}")
    return image


def softmax(logits: NDArray) -> NDArray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


if __name__ == "__main__":
    main(sys.argv[1:])
