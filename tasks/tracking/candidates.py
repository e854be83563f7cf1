"""Candidates become MLflow runs. (Shipped models become versions: tasks.registry.)

Everything is keyed by content. A group of candidates (the variants of a backbone, the headers of
an edge, the rounds of a device) is one parent run with a child per candidate; logging a group
again finds its runs and adds what is new to them, so neither a resumed stage nor one that DVC
restored from its cache leaves a candidate out or logs it twice.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from tasks.run.closure import PACKAGES
from tasks.settings.case import CASES, Case

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run

BACKBONES, HEADERS, DEVICES = "1-backbones", "2-headers", "3-devices"
"""Experiments of every case: MLflow knows them by :func:`experiment_of`."""

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


def tracking_uri(project: Path) -> str:
    """MLFLOW_TRACKING_URI, else the project's own store below ``mlflow/store``, for all its cases.

    A queued experiment of DVC's runs in a copy of the project below the ``.dvc`` of a case, which
    is thrown away; its runs belong to the project.
    """
    of_dvc = [folder.parent for folder in project.parents if folder.name == ".dvc"]
    project = Case.of(of_dvc[0]).project if of_dvc else project
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{LOCAL}{project / 'mlflow/store/mlflow.db'}"


def connect(project: Path) -> MlflowClient:
    """A client of the store, which is also made MLflow's current one."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    uri = tracking_uri(project)
    if uri.startswith(LOCAL):
        Path(uri.removeprefix(LOCAL)).parent.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient(uri)


def experiment_of(case: Case, name: str) -> str:
    """What a case's experiment is called in MLflow."""
    return f"{case.label}-{name}"


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


LIBRARIES = "constraints.txt"
NOT_MADE_FROM = ("**/dvc.lock", "**/*.md", "docs/**")
"""Tracked files that no result is made from: a run writes the lock, `acme results` the pages."""


def git_commit(case: Case) -> str:
    """The checked-out commit, with ``-dirty`` if the project's code or the case's settings differ
    from it; ``unknown`` outside git. Another case's settings do not count."""
    root = case.project
    commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD").stdout.strip()
    if not commit:
        return "unknown"
    own = [*PACKAGES, LIBRARIES, f"{CASES}/{case.name}"] if case.name else ["."]
    others = [] if case.name else [f"{CASES}/**"]
    rest = [f":(exclude,glob){pattern}" for pattern in (*NOT_MADE_FROM, *others)]
    differs = _git(root, "diff", "--quiet", "HEAD", "--", *own, *rest).returncode
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


@dataclass(frozen=True)
class Group:
    """Candidates that belong together: they become the children of one parent run.

    Attributes:
        key: identifies the content (a hash of the stage's output).
        name: the parent run's.
        params, metrics, tags: of the parent run.
        tables, pictures: what is logged with it, by name (pictures are SVG).
    """

    key: str
    name: str
    candidates: Sequence[Candidate]
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)


class Tracker:
    """Logs to one MLflow store on behalf of one run of a case's pipeline."""

    def __init__(self, case: Case, lineage: Lineage) -> None:
        self.case, self.lineage = case, lineage
        self.client = connect(case.project)
        uri = tracking_uri(case.project)
        store = Path(uri.removeprefix(LOCAL)).parent
        self._artifacts = (store / "artifacts").as_uri() if uri.startswith(LOCAL) else None

    def log_group(self, experiment: str, group: Group) -> str:
        """Log a parent run and a child per candidate; returns the parent's run id. A group that is
        already there gets only the metrics that it lacks.

        Args:
            experiment: without the case's label, see :func:`experiment_of`.
        """
        experiment_id = self._experiment(experiment)
        known = self._known(experiment_id, group.key)
        tags = {**group.tags, GROUP: group.key, "acme.kind": "group"}
        whole = Candidate("", group.params, group.metrics, tags)
        parent = self._ensure(experiment_id, known, whole, group.name)
        if "" not in known:
            for table, rows in group.tables.items():
                self.client.log_table(parent, rows, f"{table}.json")
            for picture, svg in group.pictures.items():
                self.client.log_text(parent, svg, f"{picture}.svg")
        below = {GROUP: group.key, "mlflow.parentRunId": parent, "acme.kind": "candidate"}
        for candidate in group.candidates:
            child = replace(candidate, tags={**candidate.tags, **below})
            self._ensure(experiment_id, known, child, candidate.key)
        return parent

    def links(self, runs: Mapping[str, str]) -> dict[str, str]:
        """Where MLflow's page shows each run, by the words that lead there."""
        return {
            words: f"#/experiments/{self.client.get_run(run).info.experiment_id}/runs/{run}"
            for words, run in runs.items()
        }

    def _experiment(self, name: str) -> str:
        whole = experiment_of(self.case, name)
        found = self.client.get_experiment_by_name(whole)
        if found is not None:
            return str(found.experiment_id)
        location = f"{self._artifacts}/{whole}" if self._artifacts else None
        tags = {"mlflow.experimentKind": "custom_model_development"}  # MLflow's page for training
        tags |= {"mlflow.note.content": NOTES[name]} if name in NOTES else {}
        return str(self.client.create_experiment(whole, artifact_location=location, tags=tags))

    def _known(self, experiment_id: str, group: str) -> dict[str, Run]:
        runs = self.client.search_runs(
            [experiment_id], filter_string=f"tags.`{GROUP}` = '{group}'", max_results=5000
        )
        return {run.data.tags[KEY]: run for run in runs}

    def _ensure(
        self, experiment_id: str, known: Mapping[str, Run], candidate: Candidate, name: str
    ) -> str:
        from mlflow.entities import Param

        run = known.get(candidate.key)
        if run is not None:
            new = {k: v for k, v in candidate.metrics.items() if run.data.metrics.get(k) != v}
            if new:
                self.client.log_batch(run.info.run_id, metrics=metric_list(new))
            return str(run.info.run_id)
        tags = {**self.lineage_tags(), **candidate.tags, KEY: candidate.key}
        run = self.client.create_run(experiment_id, run_name=name, tags=tags)
        self.client.log_batch(
            run.info.run_id,
            metrics=metric_list(candidate.metrics),
            params=[Param(k, str(v)) for k, v in candidate.params.items()],
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
            source=json.dumps({"pin": str(self.case.shown(self.case.pin))}),
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
