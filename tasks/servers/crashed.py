"""Flow runs that a kill left: Prefect would show them as running for ever.

Each flow run says in its labels which process runs it. Where that process is gone, the run and its
tasks are marked Crashed. On a server that others use too, only what this project ran here.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import psutil

from tasks.servers.reachable import prefect_account
from tasks.servers.server import alive
from tasks.settings.case import Case

OWNER, PID, STARTED = "acme.owner", "acme.pid", "acme.started"
CLOCK_SLACK_S = 2.0  # a clock that was set moves the start times that psutil reports
OPEN = ["RUNNING", "PENDING", "CANCELLING", "PAUSED"]
UNFINISHED = [*OPEN, "SCHEDULED"]  # a task that waits for its next try
PAGE = 200  # as many as Prefect lists at once
WORDS = "The process that ran it was killed."


def labels(case: Case) -> dict[str, str | int | float]:
    """What tells that this process runs a flow, for this project on this machine."""
    started = psutil.Process().create_time()
    return {OWNER: _owner(case), PID: os.getpid(), STARTED: started}


def mark_crashed(case: Case, env: Mapping[str, str], alone: bool = False) -> int:
    """Mark the flow runs that were killed, on the server of PREFECT_API_URL; how many there were.

    Args:
        alone: the server is this project's and just started, so that what says of no process that
            it runs it is not run by any.
    """
    with httpx.Client(base_url=env["PREFECT_API_URL"], timeout=60, **prefect_account(env)) as api:
        runs = list(_listed(api, "flow_runs", OPEN))
        ended = [run["id"] for run in runs if _ended(run, _owner(case), alone)]
        for run in ended:
            of_run = {"flow_runs": {"id": {"any_": [run]}}}
            for task in list(_listed(api, "task_runs", UNFINISHED, of_run)):
                _crash(api, "task_runs", task["id"])
            _crash(api, "flow_runs", run)
    return len(ended)


def _owner(case: Case) -> str:
    """This project on this machine: another clone, or the same folder elsewhere, is another."""
    return f"{socket.gethostname()}:{case.project}:{case.project.stat().st_ino}"


def _listed(
    api: httpx.Client, kind: str, states: list[str], more: Mapping[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    which = {**(more or {}), kind: {"state": {"type": {"any_": states}}}}
    for offset in range(0, 1_000_000, PAGE):
        answer = api.post(f"/{kind}/filter", json={**which, "limit": PAGE, "offset": offset})
        answer.raise_for_status()
        yield from answer.json()
        if len(answer.json()) < PAGE:
            return


def _ended(run: Mapping[str, Any], owner: str, alone: bool) -> bool:
    labels = run["labels"]
    if OWNER not in labels:  # a run that is suspended has no process, and needs none
        return alone and run["state_type"] != "PAUSED"
    if labels[OWNER] != owner:
        return False
    try:
        process = psutil.Process(labels[PID])
        same = abs(process.create_time() - labels[STARTED]) < CLOCK_SLACK_S
    except psutil.NoSuchProcess:
        return True
    return not (same and alive(process))


def _crash(api: httpx.Client, kind: str, run: str) -> None:
    state = {"type": "CRASHED", "name": "Crashed", "message": WORDS}
    api.post(f"/{kind}/{run}/set_state", json={"state": state, "force": True}).raise_for_status()
