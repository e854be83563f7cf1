"""What flows that are deployed share: the case that they are of, and how they hand work to another
deployment, which may run on another machine."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from prefect.deployments import run_deployment
from prefect.runtime import flow_run

from tasks.run.errors import StageError
from tasks.settings.case import Case

P = ParamSpec("P")
R = TypeVar("R")


def in_case(function: Callable[P, R]) -> Callable[P, R]:
    """``function`` in the folder of the case that its argument ``case`` names; none: the case of
    the working folder, which a worker starts in the project's own."""
    signature = inspect.signature(function, eval_str=True)

    @wraps(function)
    def inside(*args: P.args, **options: P.kwargs) -> R:
        name = signature.bind(*args, **options).arguments.get("case")
        with Case.entered(name):
            return function(*args, **options)

    inside.__signature__ = signature  # type: ignore[attr-defined]  # Prefect cannot read words here
    return inside


def named(words: str) -> Callable[[], str]:
    """What names a flow run: ``words`` with its parameters in them, after the name of its case if
    that is not the project's own."""

    def name() -> str:
        given: dict[str, Any] = flow_run.parameters
        return (f"{given['case']}: " if given.get("case") else "") + words.format(**given)

    return name


def run_elsewhere(deployment: str, parameters: dict[str, Any]) -> None:
    """Run a deployment and wait for it.

    Raises:
        StageError: it did not complete; says what its run said.
    """
    run: Any = run_deployment(deployment, parameters=parameters)
    if run.state is None or not run.state.is_completed():
        said = run.state.message if run.state else "no state"
        raise StageError(f"{deployment}, run {run.name}, did not complete: {said}")
