"""Commands that a deployment's flow runs: they start Prefect flows of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL

from tasks.run.cached import retried
from tasks.run.errors import StageError
from tasks.settings.stages import ACME, stage_command

PARENT = "ACME_PARENT_RUN"
"""The Prefect flow run that the flow runs of a process belong below."""

LAST_WORDS = 500  # characters of a command's errors that are passed on


@retried("bring {stage} up to date", timeout_seconds=None)
def reproduce(
    stage: str, params: Path, environment: Mapping[str, str], again: bool = False
) -> None:
    """Bring one stage of dvc.yaml, and what it depends on, up to date.

    Args:
        params: the settings; with others than DVC knows, the stage alone is run.
        environment: what the stage's processes run with, but for this run's Prefect server.
        again: run this stage alone, up to date or not.

    Raises:
        StageError: it failed; says why.
    """
    _run(stage_command(stage, params, again), environment)


@retried("acme", timeout_seconds=None)
def run_acme(words: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run an `acme` command. Raises StageError if it fails; says why."""
    _run([*ACME, *words], environment)


def below_this() -> dict[str, str]:
    """The variable that puts another process's flow runs below the present one, if there is one
    and its server is not this process's own: no other knows the run then."""
    shared = bool(PREFECT_API_URL.value())
    return {PARENT: str(flow_run.id)} if flow_run.id and shared else {}


def _run(command: Sequence[str], environment: Mapping[str, str]) -> None:
    api = {"PREFECT_API_URL": str(PREFECT_API_URL.value() or "")}
    env = {**environment, **api, **below_this()}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    print(done.stdout, end="", flush=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("acme: ")]
        words = " ".join(said) or done.stderr[-LAST_WORDS:]
        raise StageError(f"{' '.join(command[2:])} failed: {words}")
