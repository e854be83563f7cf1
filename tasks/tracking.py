"""The only module that talks to MLflow: candidates become runs, shipped models become versions.

Everything is keyed by content. A group of candidates (the variants of a backbone, the headers of
an edge, the rounds of a device) is one parent run with a child per candidate; logging a group
again finds its runs and adds what is new to them, so neither a resumed stage nor one that DVC
restored from its cache leaves a candidate out or logs it twice.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import Run
    from torch import Tensor, nn

BACKBONES, HEADERS, DEVICES = "acme-1-backbones", "acme-2-headers", "acme-3-devices"
KEY, GROUP = "acme.key", "acme.group"


@dataclass(frozen=True)
class Candidate:
    """One architecture that was scored. ``key`` is its name within its group."""

    key: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Lineage:
    """Where a candidate comes from: logged as tags and as the run's dataset."""

    source: str
    data_id: str
    git_commit: str
    settings_sha256: str


def tracking_uri(root: Path) -> str:
    """MLFLOW_TRACKING_URI, else the project's own store below ``mlflow/store``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow/store/mlflow.db'}"


def git_commit(root: Path) -> str:
    """The checked-out commit, with ``-dirty`` if tracked files differ; ``unknown`` outside git."""
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


class Tracker:
    """Logs to one MLflow store on behalf of one run of the pipeline."""

    def __init__(self, root: Path, lineage: Lineage) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow

        self.root, self.lineage = root, lineage
        uri = tracking_uri(root)
        self._artifacts = None
        if uri.startswith("sqlite:///"):
            Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
            self._artifacts = (root / "mlflow/store/artifacts").as_uri()
        mlflow.set_tracking_uri(uri)
        self.client = mlflow.MlflowClient(uri)

    def log_group(
        self,
        experiment: str,
        group: str,
        *,
        name: str,
        candidates: Sequence[Candidate],
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        tables: Mapping[str, pd.DataFrame] | None = None,
    ) -> str:
        """Log a parent run and a child per candidate; returns the parent's run id.

        ``group`` identifies the content (a hash of the stage's output): a group that is already
        there gets only the metrics that it lacks.
        """
        experiment_id = self._experiment(experiment)
        known = self._known(experiment_id, group)
        parent_tags = {**self._lineage_tags(), **(tags or {}), "acme.kind": "group"}
        parent = self._ensure(
            experiment_id, known, group, "", name, params or {}, metrics or {}, parent_tags
        )
        for table, rows in (tables or {}).items():
            if "" not in known:
                self.client.log_table(parent, rows, f"{table}.json")
        for candidate in candidates:
            child_tags = {
                **self._lineage_tags(),
                **candidate.tags,
                "mlflow.parentRunId": parent,
                "acme.kind": "candidate",
            }
            self._ensure(
                experiment_id,
                known,
                group,
                candidate.key,
                candidate.key,
                candidate.params,
                candidate.metrics,
                child_tags,
            )
        return parent

    def register(
        self,
        name: str,
        module: nn.Module,
        example: Tensor,
        *,
        run_id: str,
        sha256: str,
        tags: Mapping[str, str],
        description: str,
        files: Sequence[Path],
        metrics: Mapping[str, float],
    ) -> str:
        """Make ``module`` the champion of the registered model ``name``; returns its version.

        The model is stored as a ``torch.export`` program (loads without this code or pickle) with
        ``files`` (its safetensors state and configuration) beside it. Content that is registered
        already gets no second version.

        Args:
            example: a batch of at least 2 inputs: a batch of 1 would fix the batch size.
            sha256: of the state; how a version is recognised.
        """
        import mlflow.pytorch
        from mlflow.models import infer_signature

        version = self._version_with(name, sha256)
        if version is None:
            with _run(run_id):
                info = mlflow.pytorch.log_model(
                    module,
                    name="model",
                    signature=infer_signature(example.numpy(), module(example).detach().numpy()),
                    input_example=example.numpy(),
                    pip_requirements=["torch"],
                    extra_files=[str(file) for file in files],
                    serialization_format="pt2",
                    tags={**tags, "sha256": sha256},
                )
            # not by log_model's registered_model_name, which prints two lines a model
            if not self.client.search_registered_models(f"name = '{name}'"):
                self.client.create_registered_model(name)
            created = self.client.create_model_version(
                name, info.model_uri, run_id, model_id=info.model_id
            )
            version = str(created.version)
            self.client.log_batch(run_id, metrics=_metrics(metrics, info.model_id))
        for key, value in {**self._lineage_tags(), **tags, "sha256": sha256}.items():
            self.client.set_model_version_tag(name, version, key, value)
        self.client.update_registered_model(name, description)
        self.client.update_model_version(name, version, description)
        self.client.set_registered_model_alias(name, "champion", version)
        return version

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = f"{self._artifacts}/{name}" if self._artifacts else None
        return str(self.client.create_experiment(name, artifact_location=location))

    def _known(self, experiment_id: str, group: str) -> dict[str, Run]:
        runs = self.client.search_runs(
            [experiment_id], filter_string=f"tags.`{GROUP}` = '{group}'", max_results=5000
        )
        return {run.data.tags[KEY]: run for run in runs}

    def _ensure(
        self,
        experiment_id: str,
        known: Mapping[str, Run],
        group: str,
        key: str,
        name: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
    ) -> str:
        from mlflow.entities import Param

        run = known.get(key)
        if run is not None:
            new = {k: v for k, v in metrics.items() if run.data.metrics.get(k) != v}
            if new:
                self.client.log_batch(run.info.run_id, metrics=_metrics(new))
            return str(run.info.run_id)
        run = self.client.create_run(
            experiment_id, run_name=name, tags={**tags, GROUP: group, KEY: key}
        )
        self.client.log_batch(
            run.info.run_id,
            metrics=_metrics(metrics),
            params=[Param(k, str(v)) for k, v in params.items()],
        )
        self.client.log_inputs(run.info.run_id, datasets=[self._dataset()])
        self.client.set_terminated(run.info.run_id)
        return str(run.info.run_id)

    def _version_with(self, name: str, sha256: str) -> str | None:
        versions = self.client.search_model_versions(f"name = '{name}'")
        return next((str(v.version) for v in versions if v.tags.get("sha256") == sha256), None)

    def _lineage_tags(self) -> dict[str, str]:
        return {
            "data_hash": self.lineage.data_id,
            "git_commit": self.lineage.git_commit,
            "settings_sha256": self.lineage.settings_sha256,
        }

    def _dataset(self) -> Any:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=self.lineage.source,
            digest=self.lineage.data_id[:36],
            source_type="dvc",
            source='{"pin": "data.dvc"}',
        )
        return DatasetInput(dataset, [InputTag("mlflow.data.context", "customization")])


def _metrics(metrics: Mapping[str, float], model_id: str | None = None) -> list[Any]:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    return [Metric(k, float(v), now, 0, model_id=model_id) for k, v in metrics.items()]


def _run(run_id: str) -> Any:
    import mlflow

    return mlflow.start_run(run_id=run_id)
