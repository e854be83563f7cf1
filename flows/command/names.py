"""What the command line offers by name, cheap to import."""

from __future__ import annotations

SOURCES = ("image-folder", "fashion-mnist", "cifar100")
FORMATS = ("onnx", "pt2", "safetensors")
