"""How a flow runs its steps: here, one after the other, or submitted to its Prefect task runner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ParamSpec, TypeVar

from prefect import Task

from tasks.run.engine import submitted

P = ParamSpec("P")
R = TypeVar("R")


def run_step(step: Task[P, R], *args: P.args, **options: P.kwargs) -> R:
    """A step's result.

    Raises:
        SettingsError: ``ACME_ENGINE`` is none that there is.
    """
    if not submitted():
        return step(*args, **options)
    return step.submit(*args, **options).result()


def run_steps(step: Callable[..., R], calls: Sequence[tuple[Any, ...]]) -> list[R]:
    """The results of a step for each tuple of arguments; submitted, they run beside each other.
    Raises what the first that failed raised."""
    results = []
    for outcome in try_steps(step, calls):
        if isinstance(outcome, Exception):
            raise outcome
        results.append(outcome)
    return results


def try_steps(step: Callable[..., R], calls: Sequence[tuple[Any, ...]]) -> list[R | Exception]:
    """:func:`run_steps`, with what a call raised in place of its result."""
    task: Any = step
    if submitted():
        futures = [task.submit(*arguments) for arguments in calls]
        return [_outcome(future.result) for future in futures]
    return [_outcome(partial(task, *arguments)) for arguments in calls]


def _outcome(call: Callable[[], R]) -> R | Exception:
    try:
        return call()
    except Exception as error:  # whoever asked says what becomes of it
        return error
