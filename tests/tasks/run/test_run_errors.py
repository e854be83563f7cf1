"""Which errors are for a person, and what they are told."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import requests
from mlflow.exceptions import MlflowException

from tasks.run.errors import REMEDIES, StageError, said
from tasks.servers.services import free_port


def raised(ask: Callable[[str], Any], **instead: Any) -> BaseException:
    """What comes of asking a server that is not there, as a library tells it, or as ``instead``."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    try:
        try:
            ask(nowhere)
        except Exception as silence:
            raise instead.get("error", RuntimeError("request failed")) from silence
    except Exception as error:
        return error
    raise AssertionError("somebody answered")


def test_a_server_that_answers_no_more_is_told_by_the_variable_that_names_it() -> None:
    for ask, name in ((httpx.get, "PREFECT_API_URL"), (requests.get, "MLFLOW_TRACKING_URI")):
        error = raised(ask)
        assert name in str(said(error))
        assert "\n" not in str(said(error))


def test_a_server_that_fails_is_told_and_a_question_that_is_wrong_is_our_own_fault() -> None:
    def answered(status: int) -> BaseException:
        request = httpx.Request("POST", "http://127.0.0.1/api/flow_runs")
        try:
            httpx.Response(status, request=request).raise_for_status()
        except httpx.HTTPStatusError as error:
            return error
        raise AssertionError("that is no error")

    assert "Prefect's server fails" in str(said(answered(500)))
    assert said(answered(404)) is None
    refused = MlflowException("API request to endpoint failed with error code 503 != 200")
    assert "MLflow's server fails" in str(said(refused))
    assert said(MlflowException("No such run")) is None


def test_a_full_database_is_told_with_the_remedy() -> None:
    full = sqlite3.OperationalError("database or disk is full")
    assert str(said(full)).startswith("MLflow's store: database or disk is full. Make room")
    wrapped = MlflowException("(sqlite3.OperationalError) database or disk is full [SQL: INSERT]")
    assert said(wrapped) == said(full)
    assert said(sqlite3.OperationalError("no such table: runs")) is None


def test_what_was_raised_on_purpose_says_what_it_says() -> None:
    error = raised(httpx.get, error=StageError("mend it so"))
    assert said(error) == "mend it so"


def test_a_programming_error_is_nobody_s_to_act_on() -> None:
    assert said(ValueError("a bug")) is None


def test_what_the_system_says_of_a_file_names_it_and_the_remedy() -> None:
    for number, remedy in REMEDIES.items():
        error = OSError(number, os.strerror(number), "x/y")
        assert said(error) == f"x/y: {os.strerror(number)}. {remedy}"
    assert said(OSError(errno.ECONNREFUSED, "refused")) is None
    assert said(OSError(errno.ENOENT, "of no file")) is None
    assert said(OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(UnicodeEncodeError) as caught:
        os.fsdecode(b"data/\xff.png").encode()
    assert said(caught.value) == "'data/\\udcff.png': a name that is not UTF-8. Rename it"
