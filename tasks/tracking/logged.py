"""A model as MLflow's own: what is written of it, and how it is completed.

It is made in several writes: until READY, it is found again by its state's hash and completed.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.tracking.candidates import metric_list

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from torch import Tensor, nn

WRITTEN = re.compile(
    r"MLmodel|registered_model_meta|[^/]+\.(yaml|txt|json)|data/model\.pt2"
    r"|extra_files/[^/]+\.(json|safetensors)"
)
"""The files of a version that :func:`logged` writes."""


@dataclass(frozen=True)
class Entry:
    """What becomes a version.

    Attributes:
        example: a batch of at least 2 inputs: a batch of 1 would fix the batch size.
        run_id: the run that it comes from.
        sha256: the hash of its state.
        card: the model card, in Markdown.
        files: its safetensors state and configuration, kept beside it.
    """

    module: nn.Module
    example: Tensor
    run_id: str
    sha256: str
    tags: Mapping[str, str]
    card: str
    files: Sequence[Path]
    metrics: Mapping[str, float]


def logged(client: MlflowClient, name: str, entry: Entry, tags: Mapping[str, str]) -> LoggedModel:
    """The entry as a model of its run: the one that is there, completed, or a new one."""
    run = client.get_run(entry.run_id)
    texts = {key: str(value) for key, value in tags.items()}
    while (model := _model_of(client, run, entry.sha256)) is None or str(model.status) != "READY":
        if model is None:
            client.create_logged_model(
                run.info.experiment_id, name, entry.run_id, texts, run.data.params
            )
        else:
            _complete(client, model, run, entry)
    return model


def _model_of(client: MlflowClient, run: Run, sha256: str) -> LoggedModel | None:
    """The run's model of this content; of several the first, and the others are deleted."""
    found = client.search_logged_models(
        [run.info.experiment_id],
        f"source_run_id = '{run.info.run_id}' and tags.sha256 = '{sha256}'",
    )
    models = sorted(found, key=lambda model: (model.creation_timestamp, model.model_id))
    for model in models[1:]:
        client.delete_logged_model(model.model_id)
    return models[0] if models else None


def _complete(client: MlflowClient, model: LoggedModel, run: Run, entry: Entry) -> None:
    """Write what a logged model lacks, and make it READY last."""
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    number, run_id = model.model_id, run.info.run_id
    known = run.outputs.model_outputs if run.outputs else []
    if number not in [output.model_id for output in known]:
        client.log_outputs(run_id, [LoggedModelOutput(number, step=0)])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        _save(model, entry, folder)
        client.log_model_artifacts(number, str(folder))
    have = {metric.key for metric in model.metrics or []}
    metrics = {k: v for k, v in {**run.data.metrics, **entry.metrics}.items() if k not in have}
    client.log_batch(run_id, metrics=metric_list(metrics, number))
    client.finalize_logged_model(number, LoggedModelStatus.READY)


def save(module: nn.Module, example: Tensor, folder: Path) -> Path:
    """A model as MLflow's own in a folder, to be served from there; see :class:`Entry`."""
    import mlflow.pytorch

    mlflow.pytorch.save_model(module, str(folder), **_form(module, example))
    return folder


def _save(model: LoggedModel, entry: Entry, folder: Path) -> None:
    """What :func:`mlflow.pytorch.log_model` uploads."""
    import mlflow.pytorch
    from mlflow.models import Model

    mlflow.pytorch.save_model(
        entry.module,
        str(folder),
        mlflow_model=Model(
            artifact_path=model.artifact_location,
            model_uuid=model.model_id,
            run_id=entry.run_id,
            model_id=model.model_id,
        ),
        extra_files=[str(file) for file in entry.files],
        **_form(entry.module, entry.example),
    )


def _form(module: nn.Module, example: Tensor) -> dict[str, Any]:
    """How a model is written: as a program of torch.export, which takes any number of inputs."""
    from mlflow.models import infer_signature

    inputs = example.numpy()
    return {
        "signature": infer_signature(inputs, module(example).detach().numpy()),
        "input_example": inputs,
        "pip_requirements": ["torch"],
        "serialization_format": "pt2",
    }
