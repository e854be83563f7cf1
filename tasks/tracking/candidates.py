"""Candidates become MLflow runs. (Shipped models become versions: tasks.registry.)

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
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run

BACKBONES, HEADERS, DEVICES = "acme-1-backbones", "acme-2-headers", "acme-3-devices"
NOTES = {
    BACKBONES: "Variants of the elastic backbone: a group a backbone, a run a width and depth.",
    HEADERS: "Headers that edges compared: a group an edge's search, a run a header.",
    DEVICES: "Refinement on devices: a group a device, a run a round; what was kept is registered.",
}
KEY, GROUP = "acme.key", "acme.group"
LOCAL = "sqlite:///"


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
    """MLFLOW_TRACKING_URI, else the project's own store below ``mlflow/store``.

    A queued experiment of DVC's runs in a copy of the project below ``.dvc``, which is thrown away;
    its runs belong to the project.
    """
    root = next((p.parent for p in root.parents if p.name == ".dvc"), root)
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{LOCAL}{root / 'mlflow/store/mlflow.db'}"


def connect(root: Path) -> MlflowClient:
    """A client of the store, which is also made MLflow's current one."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    uri = tracking_uri(root)
    if uri.startswith(LOCAL):
        Path(uri.removeprefix(LOCAL)).parent.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient(uri)


def candidates_page(client: MlflowClient, experiment: str) -> str:
    """Where MLflow's page lists an experiment's candidates, the most accurate first."""
    found = client.get_experiment_by_name(experiment)
    search = {
        "searchFilter": "tags.`acme.kind` = 'candidate'",
        "orderByKey": "metrics.`val_accuracy`",
        "orderByAsc": "false",
    }
    number = found.experiment_id if found else 0
    return f"#/experiments/{number}/runs?{urlencode(search, quote_via=quote)}"


NOT_MADE_FROM = ("**/dvc.lock", "**/*.md", "docs/**")
"""Tracked files that no result is made from: a run writes the lock, `acme results` the pages."""


def git_commit(root: Path) -> str:
    """The checked-out commit, with ``-dirty`` if code or settings below ``root`` differ from it;
    ``unknown`` outside git."""
    commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD").stdout.strip()
    if not commit:
        return "unknown"
    rest = [f":(exclude,glob){pattern}" for pattern in NOT_MADE_FROM]
    differs = _git(root, "diff", "--quiet", "HEAD", "--", ".", *rest).returncode
    return f"{commit}-dirty" if differs else commit


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


TRIAL = "ACME_TRIAL"


def trial() -> dict[str, str]:
    """What tags the candidates of a trial; empty for a run whose models are delivered.

    A trial is an experiment of `dvc exp run`, or a run with other settings than DVC's
    (:data:`TRIAL` names their file). Its data may be divided otherwise, so its models are nobody's
    challengers: on the same samples they may be scored on what they were trained on.
    """
    names = {"dvc_experiment": "DVC_EXP_NAME", "trial_settings": TRIAL}
    return {tag: os.environ[name] for tag, name in names.items() if os.environ.get(name)}


class Tracker:
    """Logs to one MLflow store on behalf of one run of the pipeline."""

    def __init__(self, root: Path, lineage: Lineage) -> None:
        self.root, self.lineage = root, lineage
        self.client = connect(root)
        uri = tracking_uri(root)
        store = Path(uri.removeprefix(LOCAL)).parent
        self._artifacts = (store / "artifacts").as_uri() if uri.startswith(LOCAL) else None

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
        pictures: Mapping[str, str] | None = None,
    ) -> str:
        """Log a parent run and a child per candidate; returns the parent's run id.

        ``group`` identifies the content (a hash of the stage's output): a group that is already
        there gets only the metrics that it lacks.
        """
        experiment_id = self._experiment(experiment)
        known = self._known(experiment_id, group)
        parent_tags = {**self.lineage_tags(), **(tags or {}), "acme.kind": "group"}
        parent = self._ensure(
            experiment_id, known, group, "", name, params or {}, metrics or {}, parent_tags
        )
        for table, rows in (tables or {}).items():
            if "" not in known:
                self.client.log_table(parent, rows, f"{table}.json")
        for picture, svg in (pictures or {}).items():
            if "" not in known:
                self.client.log_text(parent, svg, f"{picture}.svg")
        for candidate in candidates:
            child_tags = {
                **self.lineage_tags(),
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

    def links(self, runs: Mapping[str, str]) -> dict[str, str]:
        """Where MLflow's page shows each run, by the words that lead there."""
        return {
            words: f"#/experiments/{self.client.get_run(run).info.experiment_id}/runs/{run}"
            for words, run in runs.items()
        }

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = f"{self._artifacts}/{name}" if self._artifacts else None
        tags = {"mlflow.experimentKind": "custom_model_development"}  # MLflow's page for training
        tags |= {"mlflow.note.content": NOTES[name]} if name in NOTES else {}
        return str(self.client.create_experiment(name, artifact_location=location, tags=tags))

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
                self.client.log_batch(run.info.run_id, metrics=metric_list(new))
            return str(run.info.run_id)
        run = self.client.create_run(
            experiment_id, run_name=name, tags={**tags, GROUP: group, KEY: key}
        )
        self.client.log_batch(
            run.info.run_id,
            metrics=metric_list(metrics),
            params=[Param(k, str(v)) for k, v in params.items()],
        )
        self.client.log_inputs(run.info.run_id, datasets=[self._dataset()])
        self.client.set_terminated(run.info.run_id)
        return str(run.info.run_id)

    def lineage_tags(self) -> dict[str, str]:
        """Where this run's outcome comes from, as tags."""
        tags = {
            "data_hash": self.lineage.data_id,
            "git_commit": self.lineage.git_commit,
            "settings_sha256": self.lineage.settings_sha256,
        }
        return tags | trial()

    def _dataset(self) -> Any:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=self.lineage.source,
            digest=self.lineage.data_id[:36],
            source_type="dvc",
            source='{"pin": "data.dvc"}',
        )
        return DatasetInput(dataset, [InputTag("mlflow.data.context", "customization")])


def metric_list(metrics: Mapping[str, float], model_id: str | None = None) -> list[Any]:
    """Metrics as MLflow takes them in one batch."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    return [Metric(k, float(v), now, 0, model_id=model_id) for k, v in metrics.items()]


def run_of(run_id: str) -> Any:
    """The run as MLflow's current one, while the block runs."""
    import mlflow

    return mlflow.start_run(run_id=run_id)
