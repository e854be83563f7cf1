"""What the command line offers by name, cheap to import."""

from __future__ import annotations

FORMATS = ("onnx", "pt2", "safetensors")
