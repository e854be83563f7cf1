"""What our servers run with, and the commands that start them, on loopback."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from tasks.servers.reachable import check_mlflow
from tasks.settings.case import Case


def environment(case: Case) -> dict[str, str]:
    """The variables that our Prefect and MLflow processes run with; what is set already stays.
    The cases of a project share its servers, and each has cached results of its own."""
    defaults = {
        "PREFECT_HOME": str(case.servers / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_LEVEL": "INFO",  # on its page; see flows.logs for the terminal
        "PREFECT_LOGGING_EXTRA_LOGGERS": "acme",  # tasks.run.log
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",  # else a page for each event that is lost
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_CLIENT_MAX_RETRIES": "2",  # a server that is down is given up in seconds
        "DO_NOT_TRACK": "true",
        # threads that spin for long while they wait slow a step down tenfold as soon as anything
        # else runs; a short spin costs nothing on an idle machine
        "GOMP_SPINCOUNT": "10000",
        "OPENBLAS_NUM_THREADS": "1",  # numpy's, of which nothing here is large; torch has its own
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "GX_ANALYTICS_ENABLED": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    bin_folder = str(Path(sys.executable).parent)  # so that a stage's `acme` is this environment's
    path = f"{bin_folder}{os.pathsep}{os.environ.get('PATH', '')}"
    # cached results live and die with the files that they refer to
    results = str(case.work / "results")
    return {**defaults, **os.environ, "PATH": path, "PREFECT_LOCAL_STORAGE_PATH": results}


def use_environment(case: Case) -> None:
    """:func:`environment` for this process too."""
    os.environ.update(environment(case))


def use_registry(case: Case) -> None:
    """:func:`use_environment`, for what reads or changes the registry.

    Raises:
        SettingsError: MLFLOW_TRACKING_URI is no address.
        StageError: no MLflow server answers there, or it refuses us.
    """
    use_environment(case)
    check_mlflow(os.environ)


def free_port() -> int:
    """A TCP port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def prefect_command(port: int) -> list[str]:
    """The module that is a Prefect server on loopback, and its arguments."""
    return ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]


def mlflow_command(port: int, uri: str | None = None) -> list[str]:
    """The module that is MLflow's page on loopback over the store at ``uri``, else over
    MLFLOW_BACKEND_STORE_URI; and its arguments."""
    where = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    store = ["--backend-store-uri", uri] if uri else []
    return ["mlflow", "server", *store, *where]
