"""Whether the servers that the environment names answer, and to us: asked before work starts."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpx

from tasks.run.errors import SettingsError, StageError

TIMEOUT_S = 10.0
WEB = ("http", "https")
DATABASES = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
"""The kinds of databases that MLflow keeps records in, with their usual ports."""

PREFECT, MLFLOW = "PREFECT_API_URL", "MLFLOW_TRACKING_URI"


def check_prefect(env: Mapping[str, str]) -> None:
    """Ask the Prefect server of PREFECT_API_URL who it is.

    Raises:
        SettingsError: it is no address.
        StageError: no Prefect server answers there, or it refuses us.
    """
    name, uri = PREFECT, env[PREFECT]
    _checked(name, uri, WEB, "http://127.0.0.1:4200/api; unset, a server is started")
    answer = _asked("GET", f"{uri.rstrip('/')}/admin/version", name, **prefect_account(env))
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise StageError(f"{name}={uri}: it refuses us: mend PREFECT_API_AUTH_STRING (user:word)")
    if not answer.is_success and not env.get("PREFECT_API_KEY"):  # Prefect's cloud tells nobody
        raise StageError(f"{name}={uri}: no Prefect server (it answers {answer.status_code})")


def prefect_account(env: Mapping[str, str]) -> dict[str, Any]:
    """How httpx has to ask a Prefect server."""
    if key := env.get("PREFECT_API_KEY"):
        return {"headers": {"Authorization": f"Bearer {key}"}}
    user, _, password = env.get("PREFECT_API_AUTH_STRING", "").partition(":")
    return {"auth": (user, password)} if user else {}


def check_mlflow(env: Mapping[str, str]) -> None:
    """Ask the MLflow server of MLFLOW_TRACKING_URI, if it names one, for its experiments.

    Raises:
        SettingsError: it is no address.
        StageError: no MLflow server answers there, or it refuses us.
    """
    name, uri = MLFLOW, env.get(MLFLOW)
    if not uri:
        return
    kind = uri.partition(":")[0].partition("+")[0]
    if kind in ("sqlite", "databricks"):
        return
    kinds = (*WEB, *DATABASES)
    place = _checked(name, uri, kinds, "http://127.0.0.1:5000; unset, mlflow/store is used")
    if kind in DATABASES:
        _connected(place, DATABASES[kind])
        return
    what: dict[str, Any] = {"json": {"max_results": 1}, **_mlflow_account(env)}
    where = f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search"
    answer = _asked("POST", where, name, **what)
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise StageError(
            f"{name}={shown(uri)}: it refuses us: mend MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD"
        )
    if not answer.is_success:
        raise StageError(f"{name}={shown(uri)}: no MLflow server (it answers {answer.status_code})")


def _mlflow_account(env: Mapping[str, str]) -> dict[str, Any]:
    if token := env.get("MLFLOW_TRACKING_TOKEN"):
        return {"headers": {"Authorization": f"Bearer {token}"}}
    user, password = env.get("MLFLOW_TRACKING_USERNAME"), env.get("MLFLOW_TRACKING_PASSWORD")
    return {"auth": (user, password or "")} if user else {}


def _checked(name: str, uri: str, kinds: tuple[str, ...], instead: str) -> SplitResult:
    try:
        place = urlsplit(uri)
        good = place.scheme.partition("+")[0] in kinds and place.hostname and place.port != 0
    except ValueError:  # its port is no number
        good = False
    if not good:
        raise SettingsError(f"{name}={shown(uri)} is no address of a server: give e.g. {instead}")
    return place


def _asked(method: str, where: str, name: str, **what: Any) -> httpx.Response:
    try:
        return httpx.request(method, where, timeout=TIMEOUT_S, **what)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise _silent(name, where, error) from None


def _connected(place: SplitResult, port: int) -> None:
    try:
        socket.create_connection((place.hostname, place.port or port), TIMEOUT_S).close()
    except OSError as error:
        raise _silent(MLFLOW, place.geturl(), error) from None


def _silent(name: str, where: str, error: Exception) -> StageError:
    place = urlsplit(where)
    at = f"{place.scheme}://{place.netloc.rpartition('@')[2]}"
    why = str(error) or type(error).__name__
    return StageError(
        f"{name}: no server answers at {at} ({why}). Start it, or mend or unset {name}"
    )


def shown(uri: str) -> str:
    """An address without the password that may be in it."""
    head, at, tail = uri.rpartition("@")
    return f"{head.partition('://')[0]}://...@{tail}" if at else uri
