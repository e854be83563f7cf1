"""Writers that are in each other's way: what one of them tries again.

MLflow looks a row up and then inserts it, so two writers at once may both insert; the database
refuses the second, and MLflow gives that up. Tried again, the row is found.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

TRIES = 12
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 2.0
THERE = "UniqueViolation|UNIQUE constraint failed"
BUSY = "DeadlockDetected|SerializationFailure|database is locked|database table is locked"
DELETED = "must be in the 'active' state"


class Patient:
    """A client of MLflow whose calls are made again where another writer was in the way.

    Only a call whose transaction was refused is made again, so nothing is written twice by it.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return _patient(found) if callable(found) else found

    def log_outputs(self, *args: Any, **options: Any) -> None:
        """MLflow's, which inserts without a look: refused, another writer's is there."""
        with tolerated(THERE):
            again(lambda: self._client.log_outputs(*args, **options), BUSY)


def _patient(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def patient(*args: Any, **options: Any) -> Any:
        return again(lambda: call(*args, **options), f"{THERE}|{BUSY}")

    return patient


def again(call: Callable[[], Any], words: str) -> Any:
    """What ``call`` gives; made up to :data:`TRIES` times where MLflow's refusal says
    ``words`` (a pattern), with pauses that grow and differ between writers."""
    from mlflow.exceptions import MlflowException

    for number in range(TRIES):
        try:
            return call()
        except MlflowException as error:
            if number == TRIES - 1 or not re.search(words, str(error)):
                raise
        time.sleep(random.random() * min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**number))
    raise AssertionError("unreachable")


@contextmanager
def tolerated(words: str) -> Iterator[None]:
    """Leave the block quietly where MLflow's refusal, or its code, says ``words`` (a pattern)."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if not re.search(words, f"{error.error_code}: {error}"):
            raise
