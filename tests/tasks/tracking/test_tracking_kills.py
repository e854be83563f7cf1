"""A kill at any write while candidates and models are logged: the same call again leaves what it
leaves undisturbed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy
import torch
from torch import nn

from tasks.settings.case import Case
from tasks.tracking.candidates import DEVICES, Candidate, Group, Lineage, Tracker
from tasks.tracking.logged import Entry
from tasks.tracking.registry import CHALLENGER, CHAMPION, Registry
from tasks.tracking.store import connect, database


class Killed(BaseException):
    """What no handler of errors catches."""


class Writes:
    """Counts the transactions and files that are written; kills before number ``at``."""

    def __init__(self, at: int | None) -> None:
        self.at, self.seen = at, 0
        self.connections: list[Any] = []

    def next(self) -> None:
        self.seen += 1
        if self.seen == self.at:
            raise Killed

    def statement(self, connection: Any, _: Any, words: str, *rest: Any) -> None:
        if words.lstrip().split(maxsplit=1)[0].upper() in ("INSERT", "UPDATE", "DELETE"):
            connection.info["written"] = True

    def connect(self, connection: Any, *rest: Any) -> None:
        self.connections.append(connection)

    def end(self) -> None:
        """What the system does for a process that was killed: its connections are closed."""
        for connection in self.connections:
            connection.close()
        no_connections()

    def commit(self, connection: Any) -> None:
        if connection.info.pop("written", False):
            self.next()


def no_connections() -> None:
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Models
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Runs

    for engine in (*Runs._engine_map.values(), *Models._engine_map.values()):
        engine.dispose()


@contextmanager
def killed_at(number: int | None, patch: pytest.MonkeyPatch) -> Iterator[Writes]:
    """Dies at a write, while the block runs."""
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository as Files

    writes, whole = Writes(number), Files.log_artifacts

    def half(self: Any, folder: str, path: str | None = None) -> None:
        first = min(Path(folder).iterdir())
        target = Path(self.artifact_dir) / first.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"half")
        writes.next()
        whole(self, folder, path)

    def one(self: Any, file: str, path: str | None = None) -> None:
        writes.next()
        single(self, file, path)

    single = Files.log_artifact
    engine, events = sqlalchemy.engine.Engine, sqlalchemy.event
    listeners = [
        ("connect", writes.connect),
        ("before_cursor_execute", writes.statement),
        ("commit", writes.commit),
    ]
    no_connections()
    with patch.context() as inner:
        inner.setattr(Files, "log_artifacts", half)
        inner.setattr(Files, "log_artifact", one)
        for name, listener in listeners:
            events.listen(engine, name, listener)
        try:
            yield writes
        except Killed:
            writes.end()
        finally:
            for name, listener in listeners:
                events.remove(engine, name, listener)


def content(root: Path) -> dict[str, Any]:
    """All that a store holds, without numbers and times that differ from store to store."""
    client = connect(root)
    experiments = client.search_experiments()
    numbers = [e.experiment_id for e in experiments]
    runs = client.search_runs(numbers)
    names = {run.info.run_id: run.info.run_name for run in runs}
    models = client.search_logged_models(numbers)
    names |= {model.model_id: model.tags["sha256"] for model in models}
    return {
        "experiments": sorted((e.name, tuple(sorted(e.tags.items()))) for e in experiments),
        "runs": sorted((run_content(client, run, names) for run in runs), key=str),
        "models": sorted((model_content(model, names) for model in models), key=str),
        "versions": {m.name: versions(client, m, names) for m in client.search_registered_models()},
    }


def run_content(client: Any, run: Any, names: dict[str, str]) -> list[Any]:
    tags = {k: names.get(v, v) for k, v in run.data.tags.items()}
    inputs = [(i.dataset.name, i.dataset.digest, str(i.tags)) for i in run.inputs.dataset_inputs]
    outputs = [names[o.model_id] for o in run.outputs.model_outputs] if run.outputs else []
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    files = {str(f.relative_to(folder)): f.read_text() for f in sorted(folder.rglob("*.*"))}
    data = run.data
    return [
        run.info.status,
        run.info.run_name,
        tags,
        data.params,
        data.metrics,
        inputs,
        outputs,
        files,
    ]


def model_content(model: Any, names: dict[str, str]) -> list[Any]:
    folder = Path(model.artifact_location.removeprefix("file://"))
    files = {
        str(f.relative_to(folder)): f.suffix == ".txt" and f.read_text()
        for f in folder.rglob("*.*")
    }
    metrics = sorted((metric.key, metric.value) for metric in model.metrics or [])
    run = names[model.source_run_id]
    return [str(model.status), run, model.name, model.tags, model.params, metrics, files]


def versions(client: Any, model: Any, names: dict[str, str]) -> list[Any]:
    found = client.search_model_versions(f"name = '{model.name}'")
    rows = [
        [
            v.version,
            v.description,
            dict(v.tags),
            names.get(v.run_id),
            names.get(v.source.removeprefix("models:/")),
        ]
        for v in found
    ]
    return [model.description, dict(model.aliases), *sorted(rows, key=str)]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with nothing in it."""
    root = tmp_path_factory.mktemp("empty")
    connect(root)
    file = database(root)
    assert file is not None
    return file


@pytest.fixture
def fresh(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int | str], Path]:
    """Makes a project with an empty store, by name."""

    def made(name: int | str) -> Path:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        root = tmp_path / str(name)
        (root / "mlflow/store").mkdir(parents=True)
        shutil.copy(empty, root / "mlflow/store/mlflow.db")
        return root

    return made


GROUP = Group(
    "device-00-abc",
    "device-00",
    [Candidate(f"round {n}", {"round": n}, {"val_accuracy": n / 4}) for n in range(2)],
    params={"width": 0.5},
    metrics={"val_accuracy": 0.25},
    tags={"device": "device-00"},
    tables={"sampled": pd.DataFrame({"a": [1, 2]})},
    pictures={"front": "<svg/>"},
)


def log(root: Path) -> str:
    tracker = Tracker(Case(root), Lineage("digits", "d" * 40, "commit", "settings"))
    return tracker.log_group(DEVICES, GROUP)


def register(root: Path) -> None:
    torch.manual_seed(0)
    state = root / "state.txt"
    state.write_text("state")
    entry = Entry(
        module=nn.Sequential(nn.Flatten(), nn.Linear(4, 2)),
        example=torch.zeros(2, 1, 2, 2),
        run_id=log(root),
        sha256="content",
        tags={"device": "device-00", "data_hash": "d"},
        card="A card",
        files=[state],
        metrics={"val_accuracy": 0.25},
    )
    Registry(root).register("acme-device-00", entry)


def two_versions(root: Path) -> None:
    """A champion and its challenger."""
    client = connect(root)
    client.create_registered_model("m", description="A card")
    for number, alias in (("1", CHAMPION), ("2", CHALLENGER)):
        client.create_model_version("m", str(root), tags={"sha256": number})
        client.set_registered_model_alias("m", alias, number)


def promote(root: Path) -> None:
    registry = Registry(root)
    challenger = registry.find("m", CHALLENGER)
    if challenger:
        registry.promote(challenger, "it is better")


def roll_back(root: Path) -> None:
    promote(root)
    registry = Registry(root)
    champion = registry.find("m", CHAMPION)
    if champion and champion.number == "2":
        registry.rollback("m")


def killed_everywhere(
    call: Callable[[Path], Any],
    fresh: Callable[[int | str], Path],
    patch: pytest.MonkeyPatch,
    before: Callable[[Path], Any] = str,
) -> int:
    """Kill ``call`` at each of its writes and make it again; returns how many there are.
    ``before`` prepares the store."""
    undisturbed = fresh("undisturbed")
    before(undisturbed)
    call(undisturbed)
    wanted = content(undisturbed)
    for number in count(1):
        root = fresh(number)
        before(root)
        with killed_at(number, patch) as writes:
            call(root)
        if writes.seen < number:
            return number - 1
        call(root)
        assert content(root) == wanted, f"killed at write {number}"
    raise AssertionError("unreachable")


def test_a_kill_at_any_write_of_a_group(
    fresh: Callable[[int | str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # 17 or 18: the first client of a process looks for one thing more
    assert killed_everywhere(log, fresh, monkeypatch) >= 17


@pytest.mark.parametrize(("call", "writes"), [(promote, 4), (roll_back, 7)])
def test_a_kill_at_any_write_of_a_decision(
    call: Callable[[Path], Any],
    writes: int,
    fresh: Callable[[int | str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert killed_everywhere(call, fresh, monkeypatch, two_versions) == writes


@pytest.mark.slow
def test_a_kill_at_any_write_of_a_version(
    fresh: Callable[[int | str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert killed_everywhere(register, fresh, monkeypatch) >= 25
