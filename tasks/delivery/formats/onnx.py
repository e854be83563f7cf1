"""ONNX, for a device that has onnxruntime alone."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tasks.delivery.formats import Runner
from tasks.delivery.shipped import load_shipped

QUANTIZED = ["MatMul", "Gemm"]  # what dynamic quantisation speeds up; convolutions stay float


def write(state: Path, example: Tensor, path: Path) -> None:
    """A graph that takes any number of inputs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            load_shipped(state).eval(),
            (example,),
            path,
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["pixels"],
            output_names=["logits"],
            external_data=False,
            verbose=False,
        )
    _strip(path)


def run(path: Path) -> Runner:
    """The model, on onnxruntime and as many threads as torch uses."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def runner(pixels: Tensor) -> Tensor:
        [logits] = session.run(None, {"pixels": pixels.numpy()})
        return torch.from_numpy(np.asarray(logits))

    return runner


def quantize(path: Path) -> None:
    """Replace an ONNX file by its dynamically quantised form: INT8 weights, float activations that
    are quantised as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    small = path.with_suffix(".int8")
    quantize_dynamic(path, small, weight_type=QuantType.QInt8, op_types_to_quantize=QUANTIZED)
    small.replace(path)


def _strip(path: Path) -> None:
    """Leave out what only a debugger reads: for a small model it is most of the file."""
    import onnx

    model = onnx.load(path)
    del model.metadata_props[:], model.graph.value_info[:], model.graph.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.save(model, path)
