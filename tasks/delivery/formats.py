"""The file formats of a delivered model: how each is written and run."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tasks.delivery.shipped import load_shipped

Runner = Callable[[Tensor], Tensor]
"""Pixels in 0..1 ``(n, channels, size, size)`` to logits ``(n, classes)``."""

FILES = {"onnx": "model.onnx", "pt2": "model.pt2", "safetensors": "model.safetensors"}
QUANTIZED = ["MatMul", "Gemm"]  # what dynamic quantisation speeds up; convolutions stay float


def write(name: str, state: Path, example: Tensor, path: Path) -> None:
    """Write the model of a state file (:func:`tasks.delivery.shipped.ship`) to ``path``.

    Args:
        example: a batch of at least 2 inputs: a batch of 1 would fix the batch size.
    """
    if name == "safetensors":
        shutil.copyfile(state, path)
        return
    module = load_shipped(state).eval()
    dynamic = ({0: torch.export.Dim("batch")},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "pt2":
            torch.export.save(torch.export.export(module, (example,), dynamic_shapes=dynamic), path)
        else:
            _write_onnx(module, example, dynamic, path)


def run(name: str, path: Path) -> Runner:
    """A written model, ready to run."""
    if name == "onnx":
        return _onnx_runner(path)
    loaded = torch.export.load(path).module() if name == "pt2" else load_shipped(path).eval()
    return torch.no_grad()(loaded)


def quantize(path: Path) -> None:
    """Replace an ONNX file by its dynamically quantised form: INT8 weights, float activations that
    are quantised as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    small = path.with_suffix(".int8")
    quantize_dynamic(path, small, weight_type=QuantType.QInt8, op_types_to_quantize=QUANTIZED)
    small.replace(path)


def _write_onnx(module: nn.Module, example: Tensor, dynamic: tuple, path: Path) -> None:
    torch.onnx.export(
        module,
        (example,),
        path,
        dynamo=True,
        dynamic_shapes=dynamic,
        input_names=["pixels"],
        output_names=["logits"],
        external_data=False,
        verbose=False,
    )
    _strip(path)


def _strip(path: Path) -> None:
    """Leave out what only a debugger reads: for a small model it is most of the file."""
    import onnx

    model = onnx.load(path)
    del model.metadata_props[:], model.graph.value_info[:], model.graph.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.save(model, path)


def _onnx_runner(path: Path) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def runner(pixels: Tensor) -> Tensor:
        [logits] = session.run(None, {"pixels": pixels.numpy()})
        return torch.from_numpy(np.asarray(logits))

    return runner
