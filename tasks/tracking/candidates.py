"""Candidates become MLflow runs. (Shipped models become versions: tasks.tracking.registry.)

Everything is keyed by content. A group of candidates (the variants of a backbone, the headers of
an edge, the rounds of a device) is one parent run with a child per candidate; logging a group
again finds its runs and adds what is new to them, so neither a resumed stage nor one that DVC
restored from its cache leaves a candidate out or logs it twice.

A run is made in several writes, and the last of them ends it: one that is still RUNNING, because
its writer was killed, is found by its key and completed. Of several with one key, which writers at
the same time may make, the first counts and the others are deleted.
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

from tasks.run.closure import PACKAGES
from tasks.settings.case import CASES, Case
from tasks.tracking.patience import DELETED, again, tolerated
from tasks.tracking.store import connect, database

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

BACKBONES, HEADERS, DEVICES = "1-backbones", "2-headers", "3-devices"
"""Experiments of every case: MLflow knows them by :func:`experiment_of`."""

NOTES = {
    BACKBONES: "Variants of the elastic backbone: a group a backbone, a run a width and depth.",
    HEADERS: "Headers that edges compared: a group an edge's search, a run a header.",
    DEVICES: "Refinement on devices: a group a device, a run a round; what was kept is registered.",
}
ACCURACY, ENERGY = "metrics.`val_accuracy`", "metrics.`modelled_energy_joule`"
COLUMNS = {
    BACKBONES: [ACCURACY, ENERGY, "metrics.`parameters`", "tags.`chosen_by`"],
    HEADERS: [ACCURACY, ENERGY, "metrics.`parameters`", "tags.`cluster`"],
    DEVICES: [ACCURACY, ENERGY, "metrics.`parameters`", "tags.`device`"],
}
"""What MLflow's page shows of an experiment's candidates."""
VIEW = "acme"
KEY, GROUP = "acme.key", "acme.group"


@dataclass(frozen=True)
class Candidate:
    """One architecture that was scored. ``key`` is its name within its group, ``name`` its run's
    where another is wanted."""

    key: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True)
class Lineage:
    """Where a candidate comes from: logged as tags and as the run's dataset. ``measured_on`` says
    of what size a batch was and on what machine, where latency was measured; ``reference``, how
    the model was made that everything is cut from, for cards."""

    source: str
    data_id: str
    git_commit: str
    settings_sha256: str
    measured_on: str = ""
    reference: str = ""


def experiment_of(case: Case, name: str) -> str:
    """What a case's experiment is called in MLflow."""
    return f"{case.label}-{name}"


def saved_view(name: str) -> dict[str, str]:
    """The tag of an experiment that MLflow's page takes as a view of its table: which columns, the
    most accurate candidate first."""
    view = {
        "searchFilter": "tags.`acme.kind` = 'candidate'",
        "orderByKey": ACCURACY,
        "orderByAsc": False,
        "selectedColumns": COLUMNS.get(name),
    }
    return {f"mlflow.sharedViewState.{VIEW}": json.dumps(view)} if name in COLUMNS else {}


TRAINING = "workflowType=machine_learning"
"""What makes MLflow's page show runs and models; it opens on prompts and traces."""
REGISTRY_PAGE = f"#/models?{TRAINING}"


def keep_view(client: MlflowClient, experiment: Experiment, name: str) -> None:
    """Give an experiment its :func:`saved_view`, if it lacks it."""
    for key, value in saved_view(name).items():
        if experiment.tags.get(key) != value:
            client.set_experiment_tag(experiment.experiment_id, key, value)


def candidates_page(client: MlflowClient, case: Case, name: str) -> str:
    """Where MLflow's page lists the candidates of a case's experiment as :func:`saved_view` says;
    the page of all experiments where nothing was logged yet."""
    found = client.get_experiment_by_name(experiment_of(case, name))
    if found is None:
        return f"#/experiments?{TRAINING}"
    keep_view(client, found, name)
    return f"#/experiments/{found.experiment_id}/runs?viewStateShareKey={VIEW}&{TRAINING}"


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
        file = database(case.project)
        self._artifacts = (file.parent / "artifacts").as_uri() if file else None

    def log_group(self, experiment: str, group: Group) -> str:
        """Log a parent run and a child per candidate; returns the parent's run id. What is already
        there is completed, and gets the metrics that it lacks.

        Args:
            experiment: without the case's label, see :func:`experiment_of`.
        """
        experiment_id = self._experiment(experiment)
        # another writer of this group may delete a run of ours that came second
        return str(again(lambda: self._log(experiment_id, group), DELETED))

    def links(self, runs: Mapping[str, str]) -> dict[str, str]:
        """Where MLflow's page shows each run, by the words that lead there."""
        return {
            words: f"#/experiments/{self.client.get_run(run).info.experiment_id}/runs/{run}"
            for words, run in runs.items()
        }

    def _experiment(self, name: str) -> str:
        whole = experiment_of(self.case, name)
        location = f"{self._artifacts}/{whole}" if self._artifacts else None
        tags = {"mlflow.experimentKind": "custom_model_development"}  # MLflow's page for training
        tags |= {"mlflow.note.content": NOTES[name]} if name in NOTES else {}
        found = self.client.get_experiment_by_name(whole)
        if found is None:
            with tolerated("RESOURCE_ALREADY_EXISTS"):  # by another writer
                self.client.create_experiment(whole, location, tags)
            found = self.client.get_experiment_by_name(whole)
            assert found is not None
        keep_view(self.client, found, name)
        if found.lifecycle_stage == "deleted":  # on MLflow's page; its name stays taken
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _log(self, experiment_id: str, group: Group) -> str:
        tags = {**group.tags, "acme.kind": "group", **_table_tag(group.tables)}
        whole = Candidate("", group.params, group.metrics, tags)
        runs = self._made(experiment_id, group.key, {"": group.name}, [whole])
        parent = str(runs[""].info.run_id)
        below = {"mlflow.parentRunId": parent, "acme.kind": "candidate"}
        children = [replace(c, tags={**c.tags, **below}) for c in group.candidates]
        runs = self._made(
            experiment_id, group.key, {c.key: c.name or c.key for c in children}, children
        )
        for child in children:
            run = runs[child.key]
            if run.data.tags.get("mlflow.parentRunId") != parent:
                self.client.set_tag(run.info.run_id, "mlflow.parentRunId", parent)
            self._complete(run, child)
        self._complete(runs[""], whole, group)
        return parent

    def _made(
        self,
        experiment_id: str,
        group: str,
        names: Mapping[str, str],
        candidates: Sequence[Candidate],
    ) -> dict[str, Run]:
        """The group's runs by their candidates' keys, with one for each of ``candidates``."""
        runs = self._known(experiment_id, group)
        missing = [candidate for candidate in candidates if candidate.key not in runs]
        for candidate in missing:
            tags = {k: v for k, v in {**self.lineage_tags(), **candidate.tags}.items() if v}
            tags |= {GROUP: group, KEY: candidate.key}  # a group's own key is empty
            self.client.create_run(experiment_id, run_name=names[candidate.key], tags=tags)
        # another writer may have made the same meanwhile: both look again, and agree
        return self._known(experiment_id, group) if missing else runs

    def _known(self, experiment_id: str, group: str) -> dict[str, Run]:
        """The group's runs by their candidates' keys, the first of each; others are deleted."""
        found: list[Run] = []
        token = None
        while token != "":
            page = self.client.search_runs(
                [experiment_id], f"tags.`{GROUP}` = '{group}'", max_results=1000, page_token=token
            )
            found, token = [*found, *page], page.token or ""
        runs: dict[str, Run] = {}
        for run in sorted(found, key=lambda run: (run.info.start_time, run.info.run_id)):
            if runs.setdefault(run.data.tags[KEY], run) is not run:
                self.client.delete_run(run.info.run_id)
        return runs

    def _complete(self, run: Run, candidate: Candidate, group: Group | None = None) -> None:
        """Write what a run lacks, and end it last; ``group`` is that of a parent."""
        from mlflow.entities import Param

        run_id = run.info.run_id
        new = {k: v for k, v in candidate.metrics.items() if run.data.metrics.get(k) != v}
        if run.info.status == "FINISHED":
            if new:
                self.client.log_batch(run_id, metrics=metric_list(new))
            return
        have = run.data.params
        params = [Param(k, str(v)) for k, v in candidate.params.items() if k not in have]
        self.client.log_batch(run_id, metrics=metric_list(new), params=params)
        self.client.log_inputs(run_id, datasets=[self._dataset()])
        for table, rows in group.tables.items() if group else ():
            # not by log_table, which adds to the rows that are there
            content = rows.to_json(orient="split", index=False, date_format="iso")
            self.client.log_text(run_id, content, f"{table}.json")
        for picture, svg in group.pictures.items() if group else ():
            self.client.log_text(run_id, svg, f"{picture}.svg")
        self.client.set_terminated(run_id)

    def lineage_tags(self) -> dict[str, str]:
        """Where this run's outcome comes from, as tags."""
        tags = {
            "data_hash": self.lineage.data_id,
            "git_commit": self.lineage.git_commit,
            "settings_sha256": self.lineage.settings_sha256,
            "latency_measured_on": self.lineage.measured_on,
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


def _table_tag(tables: Mapping[str, Any]) -> dict[str, str]:
    """The tag by which MLflow's page knows which artifacts are tables."""
    listed = [{"path": f"{table}.json", "type": "table"} for table in tables]
    return {"mlflow.loggedArtifacts": json.dumps(listed)} if listed else {}
