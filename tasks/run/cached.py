"""How Prefect runs our tasks: what is retried, what is cached and by which key.

Prefect owns reuse *inside* a stage (a killed stage continues where it stopped); DVC owns reuse
between stages. A cached task's key is made of all that its result is made of: its inputs (they are
references, never tensors or paths), the code of its module and of what that imports, and the
versions of the libraries that compute.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import INPUTS, CachePolicy
from prefect.context import TaskRunContext
from prefect.serializers import JSONSerializer
from prefect.tasks import exponential_backoff
from pydantic import Field

from tasks.run.closure import code_version
from tasks.run.errors import AcmeError

LIBRARIES = (  # those whose next version may compute or write something else
    "great_expectations",
    "numpy",
    "pandas",
    "pillow",
    "POT",
    "safetensors",
    "scikit-learn",
    "scipy",
    "timm",
    "torch",
    "torchvision",
)

P = ParamSpec("P")
R = TypeVar("R")


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


_ended: dict[Any, list[tuple[str, bool]]] = defaultdict(list)


def note_end(task: Any, run: Any, state: Any) -> None:
    """Remember that a cacheable task ended, and whether its result was reused. (Prefect's server
    learns of it some time after the flow has ended.)"""
    _ended[run.flow_run_id].append((run.name, state.name == "Cached"))


def take_ended(flow_run_id: Any) -> list[tuple[str, bool]]:
    """The cacheable tasks of a flow run that ended: their names, and whether they were reused."""
    return _ended.pop(flow_run_id, [])


class Code(CachePolicy):
    """Which function a task runs, its code (:mod:`tasks.run.closure`), and the versions of
    :data:`LIBRARIES`."""

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: Any, **_: Any
    ) -> str:
        function = task_ctx.task.fn
        name = f"{function.__module__}.{function.__qualname__}"
        return f"{name}-{code_version(function.__module__)}-{libraries()}"


@cache
def libraries() -> str:
    """Hash of the installed versions of :data:`LIBRARIES`."""
    return hashlib.sha256("\n".join(map(_version, LIBRARIES)).encode()).hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


class SummedJSON(JSONSerializer):
    """JSON after its sha256. Prefect takes a result that cannot be read for one that is not there,
    so a damaged one is computed again."""

    type: str = Field(default="summed-json", frozen=True)

    def dumps(self, obj: Any) -> bytes:
        """The JSON of ``obj``, after its sum."""
        content = super().dumps(obj)
        return hashlib.sha256(content).hexdigest().encode() + b" " + content

    def loads(self, blob: bytes) -> Any:
        """What :meth:`dumps` wrote. Raises ValueError if it is not as it was written."""
        said, _, content = blob.partition(b" ")
        if hashlib.sha256(content).hexdigest().encode() != said:
            raise ValueError("a cached result changed since it was written")
        return super().loads(content)


RETRIED: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": exponential_backoff(backoff_factor=2),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": worth_retrying,
    "timeout_seconds": 3600,
}
KEY = INPUTS + Code()
CACHED: dict[str, Any] = {
    **RETRIED,
    "on_completion": [note_end],
    "cache_policy": KEY,
    "persist_result": True,
    "result_serializer": SummedJSON(),
}


def retried(name: str, **options: Any) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a function with effects a Prefect task; ``name`` is its run's, with fields of the
    arguments. Used as a decorator, or by a flow on a plain function."""
    return task(task_run_name=name, **{**RETRIED, **options})


def cached(name: str, **options: Any) -> Callable[[Callable[P, R]], Task[P, R]]:
    """:func:`retried`, for a function whose result is made of its inputs alone; the result, which
    must be JSON, is reused where all of :data:`KEY` is the same."""
    return task(task_run_name=name, **{**CACHED, **options})
