"""ONNX, for a device that has onnxruntime alone."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.customized import Masked
from tasks.delivery.formats import Runner
from tasks.delivery.shipped import load_shipped
from tasks.run.store import read_tensors

PAD = "pad"
"""What the configuration of a backbone of texts, and here the file of one, calls the padding."""
QUANTIZED = ["MatMul", "Gemm"]  # what dynamic quantisation speeds up; convolutions stay float
TABLES = "Gather"  # a lookup of words: no faster, but most of a small model of texts


def write(state: Path, example: Tensor, path: Path) -> None:
    """A graph that takes any number of inputs: ``pixels``, or, of texts, ``ids`` and ``mask`` (1
    where they are no padding)."""
    model, pad = load_shipped(state).eval(), read_tensors(state)[1]["backbone"].get(PAD)
    inputs: tuple[Tensor, ...] = (example,)
    names = ["pixels"]
    if pad is not None:
        model, names = Masked(model), ["ids", "mask"]
        inputs = (example, (example != pad).long())
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            inputs,
            path,
            dynamo=True,
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            input_names=names,
            output_names=["logits"],
            external_data=False,
            verbose=False,
        )
    _strip(path, {} if pad is None else {PAD: str(pad)})


def run(path: Path) -> Runner:
    """The model, on onnxruntime and as many threads as torch uses."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    first, *mask = (given.name for given in session.get_inputs())
    pad = int(session.get_modelmeta().custom_metadata_map.get(PAD, 0))

    def runner(inputs: Tensor) -> Tensor:
        fed = {first: inputs.numpy()} | {name: (inputs != pad).long().numpy() for name in mask}
        [logits] = session.run(None, fed)
        return torch.from_numpy(np.asarray(logits))

    return runner


def quantize(path: Path) -> None:
    """Replace an ONNX file by its dynamically quantised form: INT8 weights, of texts the table of
    words too, and float activations that are quantised as they come."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    small, facts = path.with_suffix(".int8"), onnx.load(path).metadata_props
    kinds = [*QUANTIZED, *(TABLES for fact in facts if fact.key == PAD)]
    quantize_dynamic(path, small, weight_type=QuantType.QInt8, op_types_to_quantize=kinds)
    small.replace(path)


def _strip(path: Path, facts: dict[str, str]) -> None:
    """Leave out what only a debugger reads: for a small model it is most of the file. ``facts`` are
    written in its place."""
    import onnx

    model = onnx.load(path)
    del model.metadata_props[:], model.graph.value_info[:], model.graph.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.helper.set_model_props(model, facts)
    onnx.save(model, path)
