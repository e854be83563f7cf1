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
IN_THE_WAY = re.compile(
    r"UniqueViolation|UNIQUE constraint failed|DeadlockDetected|SerializationFailure"
    r"|database is locked|database table is locked"
)
DELETED = re.compile(r"must be in the 'active' state")


class Patient:
    """A client of MLflow whose calls are made again where another writer was in the way.

    Only a call whose transaction was refused is made again, so nothing is written twice by it.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return _patient(found) if callable(found) else found


def _patient(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def patient(*args: Any, **options: Any) -> Any:
        return again(lambda: call(*args, **options), IN_THE_WAY)

    return patient


def again(call: Callable[[], Any], where: re.Pattern[str]) -> Any:
    """What ``call`` gives; made up to :data:`TRIES` times where MLflow refuses in words that
    ``where`` finds, with pauses that grow and differ between writers."""
    from mlflow.exceptions import MlflowException

    for number in range(TRIES):
        try:
            return call()
        except MlflowException as error:
            if number == TRIES - 1 or not where.search(str(error)):
                raise
        time.sleep(random.random() * min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**number))
    raise AssertionError("unreachable")


@contextmanager
def suppress_code(code: str) -> Iterator[None]:
    """Leave the block quietly where MLflow refuses with this error code."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != code:
            raise
