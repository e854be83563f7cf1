"""The servers that a run needs, on loopback: started when needed, stopped by who started them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.run.errors import StageError
from tasks.settings.case import Case

START_TIMEOUT_S = 120.0


def environment(case: Case) -> dict[str, str]:
    """The variables that our Prefect and MLflow processes run with; what is set already stays.
    The cases of a project share its servers, and each has cached results of its own."""
    home = case.servers / "prefect"
    home.mkdir(parents=True, exist_ok=True)  # Prefect makes no parents
    defaults = {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_CLI_PROMPT": "false",
        "DO_NOT_TRACK": "true",
        # threads that spin for long while they wait slow a step down tenfold as soon as anything
        # else runs; a short spin costs nothing on an idle machine
        "GOMP_SPINCOUNT": "10000",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
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


def free_port() -> int:
    """A TCP port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(name: str, command: list[str], health: str, log: Path, env: dict[str, str]) -> Iterator:
    """Run a server while the block runs, from when ``health`` answers; its output goes to ``log``.

    Raises:
        StageError: the server ends or does not answer in time; names its log.
    """
    process = launch(command, log, env)
    try:
        wait(name, process, health, log)
        yield process
    finally:
        stop(process)


def launch(
    command: list[str], log: Path, env: dict[str, str], cwd: Path | None = None
) -> subprocess.Popen:
    """Start a server that outlives its caller; its output goes to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )


def until_interrupted() -> None:
    """Wait for Ctrl-C."""
    print("Ctrl-C stops.", flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        print("stopped")


def stop(process: subprocess.Popen) -> None:
    """End a server and its children; harmless when it has ended."""
    for sign in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, sign)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                continue


@contextmanager
def prefect_server(case: Case) -> Iterator[dict[str, str]]:
    """The environment of a run with one Prefect server for all its stages.

    A server named by PREFECT_API_URL is used as it is; else one is started and stopped here.
    """
    env = environment(case)
    if env.get("PREFECT_API_URL"):
        yield env
        return
    port = free_port()
    with prefect_on(port, case) as api:
        yield {**env, "PREFECT_API_URL": api}


@contextmanager
def prefect_on(port: int, case: Case) -> Iterator[str]:
    """A Prefect server on loopback while the block runs; gives its API's address."""
    api = f"http://127.0.0.1:{port}/api"
    # the page asks port 4200 unless it is told otherwise
    env = {**environment(case), "PREFECT_SERVER_UI_API_URL": api}
    log = case.servers / "prefect-server.log"
    with serving("Prefect", prefect_command(port), f"{api}/health", log, env):
        yield api


def prefect_command(port: int) -> list[str]:
    """Start a Prefect server on loopback."""
    where = ["--host", "127.0.0.1", "--port", str(port)]
    return [sys.executable, "-m", "prefect", "server", "start", *where]


def mlflow_command(port: int, uri: str | None = None) -> list[str]:
    """Start MLflow's page on loopback over the store at ``uri``, else MLFLOW_BACKEND_STORE_URI."""
    where = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    store = ["--backend-store-uri", uri] if uri else []
    return [sys.executable, "-m", "mlflow", "server", *store, *where]


def wait(name: str, process: subprocess.Popen, health: str, log: Path) -> None:
    """Until ``health`` answers. Raises StageError if the server ends or takes too long."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StageError(f"{name} ended while starting: see {log}")
        try:
            with urllib.request.urlopen(health, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise StageError(f"{name} did not answer within {START_TIMEOUT_S:.0f} s: see {log}")
