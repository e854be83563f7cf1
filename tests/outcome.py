"""All that a run leaves, without what differs from run to run (times, ids, latencies), so that two
runs can be compared."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.settings.case import Case
from tasks.tracking.candidates import GROUP, KEY

Outcome = dict[str, list[str]]
"""By topic, a line for each fact, ``thing: fact``; of a thing that is there twice, two lines."""

ENDED = {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"}
IDS = re.compile(r"\b(m-)?[0-9a-f]{32}\b")
LATENCY = re.compile(r"latency|_s$")


def read(root: Path) -> Outcome:
    """What lies in a project after a run. What cannot be read is said in place of it."""
    case = Case(root)
    topics = {
        "summary": lambda: summary(case),
        "file": lambda: files(case),
        "MLflow": lambda: tracked(root),
        "Prefect": lambda: states(case),
    }
    found: Outcome = {}
    for name, reader in topics.items():
        try:
            found[name] = sorted(reader())
        except Exception as error:  # whatever a crash broke
            found[name] = [f"cannot be read: {type(error).__name__}: {str(error).splitlines()[0]}"]
    return found


def differences(expected: Outcome, found: Outcome) -> list[str]:
    """What is lost, and what is there that should not be, or twice: a line a thing."""
    words = []
    for topic, lines in expected.items():
        ours, theirs = Counter(lines), Counter(found[topic])
        for what, of in (("lost", ours - theirs), ("more", theirs - ours)):
            facts: dict[str, list[str]] = {}
            for line in sorted(of.elements()):
                facts.setdefault(line.partition(": ")[0], []).append(line)
            words += [f"{topic}: {what} {_shortened(of_one)}" for of_one in facts.values()]
    return words


def _shortened(lines: list[str]) -> str:
    return lines[0] if len(lines) == 1 else f"{lines[0]} (and {len(lines) - 1} facts more)"


def summary(case: Case) -> Iterator[str]:
    """Every number of the summary."""
    content = json.loads(case.summary.read_bytes())
    for device in content["devices"]:
        yield from (f"{device['device']} {line}" for line in facts(device))
    for part in ("fleet", "link"):
        yield from (f"{part} {line}" for line in facts(content[part]))


def files(case: Case) -> Iterator[str]:
    """The stages' deterministic files by content: one that is half-written is there too."""
    for folder in (case.partition, case.backbone, case.customize, case.models):
        for path in folder.rglob("*"):
            if path.is_file():
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                yield f"{case.shown(path)} {digest[:16]}"
    yield from (f"{case.shown(path)} is left" for path in case.artifacts.glob(".*"))
    for path in (case.report, case.folder / "dvc.lock"):
        yield f"{case.shown(path)} is there: {path.is_file()}"


def tracked(root: Path) -> Iterator[str]:
    """Every run, logged model and version of the project's MLflow store."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{root / 'mlflow/store/mlflow.db'}")
    experiments = client.search_experiments()
    ids = [experiment.experiment_id for experiment in experiments]
    runs = {run.info.run_id: run for run in client.search_runs(ids, max_results=5000)}
    models = client.search_logged_models(ids, max_results=5000)
    named = {id: run_name(run.data.tags) for id, run in runs.items()}
    named |= {m.model_id: f"the model of {named.get(m.source_run_id, 'no run')}" for m in models}

    def plain(line: str) -> str:
        return IDS.sub(lambda found: named.get(found[0], found[0]), line)

    for experiment in experiments:
        yield f"experiment {experiment.name}"
    for id, run in runs.items():
        about = f"run {named[id]}"
        yield f"{about}: is {run.info.status}"
        yield from (plain(f"{about}: {line}") for line in facts(run.data.params))
        yield from (plain(f"{about}: {line}") for line in facts(run.data.metrics))
        yield from (plain(f"{about}: {line}") for line in facts(run.data.tags))
        yield from (f"{about}: of dataset {d.dataset.digest}" for d in run.inputs.dataset_inputs)
        yield from (f"{about}: with {file.path}" for file in client.list_artifacts(id))
    for model in models:
        about = f"logged model of {named.get(model.source_run_id, 'no run')}"
        yield f"{about}: is {model.status}"
        yield from (plain(f"{about}: {line}") for line in facts(model.tags))
        yield from sorted({f"{about}: metric {m.key}" for m in model.metrics or ()})
    for registered in client.search_registered_models():
        yield from (f"{registered.name}@{a} is {v}" for a, v in registered.aliases.items())
        yield f"{registered.name} has a card: {bool(registered.description)}"
        for version in client.search_model_versions(f"name = '{registered.name}'"):
            about = f"{registered.name} version {version.version}"
            yield f"{about}: is {version.status}, has a card: {bool(version.description)}"
            yield plain(f"{about}: from {version.run_id}, {version.source}")
            yield from (plain(f"{about}: {line}") for line in facts(version.tags))


def run_name(tags: dict[str, str]) -> str:
    """What a run is known by."""
    return f"{tags.get(GROUP, 'of no group')}/{tags.get(KEY, 'no key')}"


def states(case: Case) -> Iterator[str]:
    """Prefect's runs that have not ended."""
    store = case.servers / "prefect/prefect.db"
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as base:
        for kind in ("flow_run", "task_run"):
            for name, state in base.execute(f"select name, state_type from {kind}"):
                if state not in ENDED:
                    yield f"{kind} {name} is {state}"


def facts(content: dict[str, Any]) -> list[str]:
    """Names and values, of those that two runs have in common."""
    return [f"{name} {value}" for name, value in content.items() if not LATENCY.search(name)]
