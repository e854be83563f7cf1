"""Many writers at once: no run is lost, and none is there twice."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tasks.servers import postgres, services
from tasks.servers.server import Server
from tasks.settings.case import Case
from tasks.tracking.candidates import DEVICES, GROUP, KEY, Candidate, Group, Lineage, Tracker
from tasks.tracking.logged import Entry
from tasks.tracking.registry import CHALLENGER, Registry
from tasks.tracking.store import connect
from tests.together import together

SHARED = "one outcome of all writers"
Write = Callable[[Path, int], None]


def log(root: Path, writer: int) -> None:
    """A group of the writer's own: 8 runs."""
    log_group(root, f"writer {writer}", 7)


def log_same(root: Path, writer: int) -> None:
    """A group that every writer logs."""
    log_group(root, SHARED, 3)


def log_group(root: Path, name: str, count: int) -> str:
    rounds = [Candidate(f"round {n}", {"round": n}, {"accuracy": n / 8}) for n in range(count)]
    tracker = Tracker(Case(root), Lineage("digits", "d" * 40, "commit", "settings"))
    group = Group(
        name, name, rounds, {"width": 0.5}, {"accuracy": 0.5}, pictures={"front": "<svg/>"}
    )
    return tracker.log_group(DEVICES, group)


def register_same(root: Path, writer: int) -> None:
    """A model that every writer registers."""
    torch.manual_seed(0)
    entry = Entry(
        module=nn.Sequential(nn.Flatten(), nn.Linear(4, 2)),
        example=torch.zeros(2, 1, 2, 2),
        run_id=log_group(root, SHARED, 3),
        sha256="content",
        tags={"device": "device-00"},
        card="A card",
        files=[],
        metrics={"accuracy": 0.5},
    )
    Registry(root).register("acme-device-00", entry)


def at_once(write: Write, root: Path, writers: int) -> None:
    """``write`` in so many processes at the same moment; each must end well."""
    assert together(write, *((root, number) for number in range(writers))) == [0] * writers


def runs(root: Path) -> list[Any]:
    client = connect(root)
    numbers = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(numbers, max_results=5000))


def check_runs(root: Path, _: int) -> None:
    """Each writer's group once, whole."""
    found = runs(root)
    counted = Counter(run.data.tags[GROUP] for run in found)
    assert counted == {f"writer {number}": 8 for number in range(len(counted))}
    check_whole(found)
    print(f"{len(found)} runs of {len(counted)} writers", flush=True)
    assert len(counted) == int((root / "writers").read_text())


def check_same(root: Path, _: int) -> None:
    """The group of all once, whole."""
    found = [run for run in runs(root) if run.data.tags[GROUP] == SHARED]
    assert sorted(run.data.tags[KEY] for run in found) == ["", "round 0", "round 1", "round 2"]
    check_whole(found)
    [parent] = [run for run in found if run.data.tags[KEY] == ""]
    below = {r.data.tags["mlflow.parentRunId"] for r in found if r is not parent}
    assert below == {parent.info.run_id}


def check_whole(found: list[Any]) -> None:
    for run in found:
        assert run.info.status == "FINISHED"
        assert len(run.inputs.dataset_inputs) == 1
        assert set(run.data.metrics) == {"accuracy"}
        assert len(run.data.params) == 1


def check_version(root: Path, _: int) -> None:
    """One version, of the one model of the one run."""
    client = connect(root)
    [version] = client.search_model_versions("name = 'acme-device-00'")
    model = client.get_registered_model("acme-device-00")
    assert dict(model.aliases) == {CHALLENGER: version.version}
    numbers = [experiment.experiment_id for experiment in client.search_experiments()]
    [logged] = client.search_logged_models(numbers)
    assert str(logged.status) == "READY"
    assert version.source == f"models:/{logged.model_id}"
    assert version.tags["sha256"] == "content"


def check_all(root: Path, writers: int) -> None:
    """Writers of their own, then writers of the same."""
    (root / "writers").write_text(str(writers))
    for write, check in ((log, check_runs), (log_same, check_same)):
        at_once(write, root, writers)
        at_once(check, root, 1)


def test_parallel_writers_on_a_fresh_sqlite_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    check_all(tmp_path, 3)


@pytest.mark.slow
def test_many_parallel_writers_on_a_fresh_sqlite_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    check_all(tmp_path, 8)
    at_once(register_same, tmp_path, 4)
    at_once(check_version, tmp_path, 1)


@pytest.fixture
def postgresql(tmp_path: Path) -> Iterator[str]:
    """The address of an empty database."""
    password = secrets.token_hex(16)
    port = services.free_port()
    postgres.start(tmp_path, port, "acme", password)
    yield f"postgresql+psycopg2://acme:{password}@127.0.0.1:{port}/mlflow"
    postgres.stop(tmp_path)
    postgres.delete(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("through", ["nothing", "server"])
def test_parallel_writers_on_postgresql(
    through: str, postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 writers and 160 runs, directly and through MLflow's server."""
    artifacts = ["--serve-artifacts", "--artifacts-destination", str(tmp_path / "artifacts")]
    port = services.free_port()
    url = f"http://127.0.0.1:{port}"
    monkeypatch.chdir(tmp_path)
    if through == "nothing":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", postgresql)
        check_many(tmp_path)
        return
    command = [*services.mlflow_command(port, postgresql), *artifacts]
    with Server("MLflow", command, f"{url}/health", tmp_path / "log", dict(os.environ)):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        check_many(tmp_path)


def check_many(root: Path) -> None:
    check_all(root, 20)
    at_once(register_same, root, 4)
    at_once(check_version, root, 1)
