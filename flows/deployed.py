"""Work handed to another deployment, which may run on another machine."""

from __future__ import annotations

from typing import Any

from prefect.deployments import run_deployment

from tasks.run.errors import StageError


def run_elsewhere(deployment: str, parameters: dict[str, Any]) -> None:
    """Run a deployment and wait for it.

    Raises:
        StageError: it did not complete; says what its run said.
    """
    run: Any = run_deployment(deployment, parameters=parameters)
    if run.state is None or not run.state.is_completed():
        said = run.state.message if run.state else "no state"
        raise StageError(f"{deployment}, run {run.name}, did not complete: {said}")
