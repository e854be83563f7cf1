"""Whose flow runs are marked as crashed: those of processes of ours that are gone, no others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.servers import crashed
from tasks.servers.server import marked
from tasks.servers.shared import KIND, prefect_server
from tasks.settings.case import Case
from tests.tasks.servers.test_servers_server import until
from tests.tiny import ROOT


@pytest.fixture
def dead(tmp_path: Path) -> dict[str, Any]:
    """The labels of a process of ours that has ended."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    return crashed.labels(Case(tmp_path)) | {crashed.PID: gone.pid}


def run(name: str, labels: dict[str, Any], state: str = "RUNNING") -> dict[str, Any]:
    return {"id": name, "labels": labels, "state_type": state}


def marks(
    case: Case, runs: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, alone: bool = False
) -> list[str]:
    """What is marked on a server that has these flow runs, with a task each."""
    marked = []

    def answer(request: httpx.Request) -> httpx.Response:
        _, _, kind, what, *_ = request.url.path.split("/")
        if what != "filter":
            marked.append(what)
            return httpx.Response(201, json={})
        given = json.loads(request.content)
        wanted = given[kind]["state"]["type"]["any_"]
        if kind == "flow_runs":
            return httpx.Response(200, json=[r for r in runs if r["state_type"] in wanted])
        (of,) = given["flow_runs"]["id"]["any_"]
        return httpx.Response(200, json=[{"id": f"task of {of}"}])

    real = httpx.Client
    monkeypatch.setattr(
        httpx, "Client", lambda **how: real(**how, transport=httpx.MockTransport(answer))
    )
    env = {"PREFECT_API_URL": "http://127.0.0.1:1/api"}
    assert crashed.mark_crashed(case, env, alone) == len(marked) / 2
    return marked


def test_what_a_kill_left_is_marked_with_its_tasks(
    tmp_path: Path, dead: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(tmp_path)
    again = {**crashed.labels(case), crashed.STARTED: 1.0}  # our pid, of another process
    runs = [
        run("killed", dead),
        run("killed while it waited", dead, "PAUSED"),
        run("before the last boot", again),
        run("done", dead, "COMPLETED"),
        run("scheduled", dead, "SCHEDULED"),
        run("alive", crashed.labels(case)),
        run("another's", dead | {crashed.OWNER: "elsewhere"}),
        run("nobody's", {}),
    ]
    ours = ["killed", "killed while it waited", "before the last boot"]
    expected = [name for one in ours for name in (f"task of {one}", one)]
    assert marks(case, runs, monkeypatch) == expected


def test_on_a_server_that_we_just_started_nobody_runs_what_has_no_owner(
    tmp_path: Path, dead: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(tmp_path)
    runs = [
        run("alive", crashed.labels(case)),
        run("killed before it said whose it is", {}),
        run("suspended", {}, "PAUSED"),
        run("another's", dead | {crashed.OWNER: "elsewhere"}),
    ]
    name = "killed before it said whose it is"
    assert marks(case, runs, monkeypatch, alone=True) == [f"task of {name}", name]


def test_a_copy_of_the_project_is_another_owner(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    owners = {crashed.labels(Case(tmp_path / name))[crashed.OWNER] for name in ("a", "b", "a")}
    assert len(owners) == 2


RUN = """
import os, sys, time
from pathlib import Path
from tasks.servers.shared import prefect_server
from tasks.settings.case import Case
with prefect_server(Case(Path.cwd())) as env:
    os.environ.update(env)
    from prefect import flow, task
    from flows.owned import OWNED

    @task
    def sleep():
        time.sleep(600)

    @flow(flow_run_name=sys.argv[1], **OWNED)
    def work():
        sleep()

    work()
"""


def states(case: Case, kind: str) -> dict[str, str]:
    """The state of every flow run, or task run, of the project's server, by the flow run's name."""
    with prefect_server(case) as env:
        api = env["PREFECT_API_URL"]
        runs = httpx.post(f"{api}/flow_runs/filter", json={}, timeout=30).json()
        names = {run["id"]: run["name"] for run in runs}
        if kind == "task_runs":
            runs = httpx.post(f"{api}/task_runs/filter", json={}, timeout=30).json()
        found = {names[run.get("flow_run_id", run["id"])]: run["state_name"] for run in runs}
    return found


@pytest.mark.slow
def test_of_two_runs_at_once_the_killed_one_is_marked_and_the_other_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    case, home = Case(tmp_path), tmp_path / ".acme/prefect"
    started = {
        name: subprocess.Popen(
            [sys.executable, "-c", RUN, name], cwd=tmp_path, start_new_session=True
        )
        for name in ("killed", "alive")
    }
    try:
        both = {"killed": "Running", "alive": "Running"}
        assert until(lambda: states(case, "task_runs") == both, within_s=240)
        assert len(marked(home, KIND)) == 1
        os.killpg(started["killed"].pid, signal.SIGKILL)
        started["killed"].wait()
        wanted = {"killed": "Crashed", "alive": "Running"}
        assert states(case, "flow_runs") == wanted
        assert states(case, "task_runs") == wanted
        assert len(marked(home, KIND)) == 1
    finally:
        for run in started.values():
            with suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)
            run.wait()
    assert until(lambda: not marked(home, KIND))
    assert states(case, "flow_runs") == {"killed": "Crashed", "alive": "Crashed"}
