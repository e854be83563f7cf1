"""A champion as MLflow's server runs it, made of its state alone.

Of images it is a program of torch's, which takes pixels. Such a program takes numbers alone, so of
texts it is a model of Python's: texts go in; the class of each and its share of the softmax come
out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel, save_model
from mlflow.types import ColSpec, Schema

from tasks.data.samples import read_info
from tasks.delivery.shipped import load_shipped
from tasks.delivery.tokenizer import read_tokenizer, texts_as_inputs
from tasks.run.store import read_tensors
from tasks.tracking.logged import save

TEXTS = ModelSignature(
    Schema([ColSpec("string")]), Schema([ColSpec("string", "class"), ColSpec("double", "share")])
)


class Answers(PythonModel):  # type: ignore[misc]
    """The model of texts of a state file, which has a tokenizer beside it."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def load_context(self, context: Any) -> None:
        """Rebuild the model, in the server's process."""
        self.model, self.tokenizer = load_shipped(self.file).eval(), read_tokenizer(self.file)
        self.classes = read_tensors(self.file)[1]["classes"]

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """A row a text: its ``class``, and the ``share`` of the softmax that it has."""
        texts = model_input.iloc[:, 0].tolist()
        if not all(isinstance(text, str) for text in texts):
            raise MlflowException("inputs: give texts", INVALID_PARAMETER_VALUE)
        with torch.no_grad():
            shares = self.model(texts_as_inputs(texts, str(self.tokenizer))).softmax(1)
        best = shares.max(1)
        names = [self.classes[at] for at in best.indices.tolist()]
        return pd.DataFrame({"class": names, "share": best.values.tolist()})


def save_served(file: Path, partition: Path) -> Path:
    """The model of a state file as MLflow's own in a folder beside it, to be served from there as
    long as the file is where it is. ``partition`` is the folder of the data's facts.

    Raises:
        ArtifactError: it is no model of ours, or its tokenizer is not beside it.
    """
    folder = file.with_name("served")
    if read_tokenizer(file) is None:
        return save(load_shipped(file), read_info(partition).example(2), folder)
    save_model(str(folder), python_model=Answers(file), signature=TEXTS, pip_requirements=[])
    return folder
