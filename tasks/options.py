"""How Prefect runs our tasks: what is retried, what is cached and by which key.

Prefect owns reuse *inside* a stage (a killed stage continues where it stopped); DVC owns reuse
between stages. A task's cache key is its inputs and its own source, so every cached task takes
references (path and hash) instead of tensors, and ``code``: the hash of the packages it relies on.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from prefect.cache_policies import INPUTS, TASK_SOURCE
from prefect.tasks import exponential_backoff

from tasks.errors import AcmeError


def worth_retrying(task: Any, run: Any, state: Any) -> bool:
    """Whether a failed task may succeed when tried again.

    Errors that ACME raises on purpose, wrong values and programming errors fail the same way
    again; what the machine or the network did (OSError, time-outs, lost connections) may pass.
    """
    try:
        state.result()
    except (AcmeError, ValueError, TypeError, LookupError, AttributeError, AssertionError):
        return False
    except FileNotFoundError:
        return False
    except Exception:
        return True
    return False


RETRIED: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": exponential_backoff(backoff_factor=2),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": worth_retrying,
    "timeout_seconds": 3600,
}
"""For every task with effects."""

_ended: dict[Any, list[tuple[str, bool]]] = defaultdict(list)


def note_end(task: Any, run: Any, state: Any) -> None:
    """Remember that a cacheable task ended, and whether its result was reused. (Prefect's server
    learns of it some time after the flow has ended.)"""
    _ended[run.flow_run_id].append((run.name, state.name == "Cached"))


def take_ended(flow_run_id: Any) -> list[tuple[str, bool]]:
    """The cacheable tasks of a flow run that ended: their names, and whether they were reused."""
    return _ended.pop(flow_run_id, [])


CACHED: dict[str, Any] = {
    **RETRIED,
    "on_completion": [note_end],
    "cache_policy": INPUTS + TASK_SOURCE,
    "persist_result": True,
    "result_serializer": "json",
}
"""For tasks whose result depends on their inputs alone; the result must be JSON."""


@cache
def code_version(*packages: str) -> str:
    """Hash of the source of the given packages or modules: an input of every cached task."""
    digest = hashlib.sha256()
    for package in packages:
        origin = Path(str(import_module(package).__file__))
        files = sorted(origin.parent.glob("*.py")) if origin.name == "__init__.py" else [origin]
        for file in files:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
