"""What a terminal shows of a run, and what Prefect's page does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL

from flows import shown
from flows.parent import as_one_run, run_below
from tasks.run.errors import StageError
from tasks.servers.shell import below_this
from tasks.settings.case import Case
from tasks.settings.stages import ACME
from tests.tiny import ROOT


def acme(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command, on the tests' Prefect server, with the levels that a person has."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_LOGGING")}
    env |= {"PREFECT_API_URL": str(PREFECT_API_URL.value()), "PYTHONPATH": str(ROOT)}
    command = [*ACME, *words]
    return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)


def last_run(name: str) -> FlowRun:
    with get_client(sync_client=True) as client:
        runs = [run for run in client.read_flow_runs() if run.name.startswith(name)]
    return max(runs, key=lambda run: run.created)


def logged(run: FlowRun) -> list[str]:
    with get_client(sync_client=True) as client:
        found = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id])))
    return [line.message for line in found]


def test_an_expected_error_is_one_line_here_and_a_traceback_on_the_page(
    prefect_home: None, pinned: Path, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    shutil.copytree(pinned, root)
    image = next((root / "data").rglob("*.png"))
    image.write_bytes(image.read_bytes() + b" ")  # found when the data are read
    done = acme(root, "stage", "partition")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert image.name in line
    assert done.stdout == ""
    said = logged(last_run("partition"))
    assert any("Traceback" in words and "DataError" in words for words in said)


@pytest.mark.slow
def test_a_stage_that_reuses_everything_says_so_in_a_line(finished: Path, tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(finished, root)
    for words in ("", " again"):
        done = acme(root, "stage", "backbone")
        assert done.returncode == 0, f"run{words}: {done.stderr[-2000:]}"
    assert re.match(r"backbone: [1-9]\d* results reused, 0 computed", done.stdout)
    assert all(line.startswith("Warning: ") for line in done.stderr.splitlines())
    run = last_run("backbone")
    assert run.state is not None
    assert run.state.is_completed()
    said = logged(run)
    assert any("results reused" in words for words in said)
    assert any("on its front" in words for words in said)
    assert not any("hook" in words for words in said)


def test_runs_of_other_processes_lie_below_one(
    prefect_home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @flow(name="a stage")
    def a_stage(number: int) -> tuple[int, str]:
        return number, str(flow_run.id)

    seen: dict[str, Any] = {}

    def work() -> None:
        seen["parent"] = str(flow_run.id)
        [(name, value)] = below_this().items()
        monkeypatch.setenv(name, value)
        seen["number"], seen["child"] = run_below(a_stage, {"number": 3})

    as_one_run(Case(tmp_path, "digits"), work)
    assert seen["number"] == 3
    with get_client(sync_client=True) as client:
        child, parent = (client.read_flow_run(seen[name]) for name in ("child", "parent"))
        assert child.parent_task_run_id is not None
        stands_for = client.read_task_run(child.parent_task_run_id)
    assert str(stands_for.flow_run_id) == seen["parent"]
    assert parent.name == "digits: customization"
    for run in (child, parent, stands_for):
        assert run.state is not None
        assert run.state.is_completed()


def test_a_stage_that_fails_fails_the_run_above_it(prefect_home: None, tmp_path: Path) -> None:
    def work() -> None:
        raise StageError("a stage failed (see above)")

    with pytest.raises(StageError):
        as_one_run(Case(tmp_path), work)
    state = last_run("customization").state
    assert state is not None
    assert state.is_failed()
    assert "a stage failed" in str(state.message)


def test_a_table_keeps_its_column_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Any] = {}
    monkeypatch.setattr(shown, "create_table_artifact", lambda **given: made.update(given))
    shown.show_table("fleet", [{"device": "device-00", "header": "mlp"}], "One model a device.")
    assert made["table"] == [{"device": "device-00", "its header": "mlp"}]
