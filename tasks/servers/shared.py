"""The one Prefect server of a project, for as long as anybody uses it.

Its users (`acme run`, `acme ui`, ...) hold a shared lock on a file beside its database. The first
starts it, others find it by its mark; it ends itself when the last of them lets go, or is killed
(:mod:`tasks.servers.tied`).
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from urllib.parse import quote, urlsplit

import httpx
import psutil

from tasks.run.errors import StageError
from tasks.run.files import sweep
from tasks.servers.crashed import mark_crashed
from tasks.servers.reachable import check_mlflow, check_prefect
from tasks.servers.server import START_TIMEOUT_S, Server, alive, end, locked, mark, marked
from tasks.servers.services import environment, free_port, prefect_command
from tasks.settings.case import Case

DATABASE = "PREFECT_API_DATABASE_CONNECTION_URL"
KIND, USERS = "prefect", "users.lock"
PAUSE_S, PATIENCE_S = 2.0, 15.0
"""How often a run looks for its server, and for how long it does without."""

ADDRESS = "PREFECT_SERVER_UI_API_URL"
"""Where Prefect's page finds its server; in the server's environment, so do we."""


@contextmanager
def prefect_server(case: Case) -> Iterator[dict[str, str]]:
    """The environment of a run with one Prefect server for all its stages; what a killed run left
    half written or running is seen to first.

    A server named by PREFECT_API_URL is used as it is; else the project's own.

    Raises:
        SettingsError: the address of a server is no address.
        StageError: a server that is named does not answer, or our own does not start.
    """
    env = environment(case)
    check_mlflow(env)
    sweep(case.artifacts)
    if not env.get("PREFECT_API_URL"):
        with prefect_on(None, case) as api:
            yield {**env, "PREFECT_API_URL": api}
        return
    with locked(_home(case) / USERS, fcntl.LOCK_SH):  # it may be our caller's, who may be killed
        check_prefect(env)
        mark_crashed(case, env)
        yield env


@contextmanager
def prefect_on(port: int | None, case: Case) -> Iterator[str]:
    """The project's Prefect server while the block runs; gives its API's address.

    Args:
        port: where to start it, else anywhere; one that runs already stays where it is.

    Raises:
        StageError: the port is taken, the database is damaged, or the server does not start.
    """
    home = _home(case)
    with locked(home / USERS, fcntl.LOCK_SH):
        with locked(home / "start.lock", fcntl.LOCK_EX):
            found = _found(home)
            api = found or _started(port or free_port(), case)
            mark_crashed(case, {**environment(case), "PREFECT_API_URL": api}, alone=not found)
        yield api


@contextmanager
def watched(env: Mapping[str, str]) -> Iterator[None]:
    """While the block runs, look after the Prefect server of PREFECT_API_URL; when it is gone for
    longer than a moment, end this process with one line (exit code 2); finished steps are kept.

    No setting of Prefect's bounds it instead. PREFECT_CLIENT_MAX_RETRIES is about requests, and
    work that asks nothing would go on; its events, a few for each task, are each tried again for
    7 s before the process may end, in a thread that nothing else ends: 19 minutes for the 164 of a
    tiny stage, with a line for each."""
    api, over = env["PREFECT_API_URL"], Event()

    def watch() -> None:
        gone_s = 0.0
        while not over.wait(PAUSE_S):
            gone_s = 0.0 if _listens(api) else gone_s + PAUSE_S
            logging.disable(logging.CRITICAL if gone_s else logging.NOTSET)
            if gone_s > PATIENCE_S:
                words = f"Prefect's server at {api} is gone: run again; finished steps are kept"
                print(f"acme: {words}", file=sys.stderr, flush=True)
                os._exit(2)

    Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _listens(api: str) -> bool:
    """Whether there is a server; one that is too busy to answer is."""
    place = urlsplit(api)
    port = place.port or {"https": 443}.get(place.scheme, 80)
    try:
        socket.create_connection((place.hostname or "", port), timeout=30).close()
    except TimeoutError:
        return True
    except OSError:
        return False
    return True


def _home(case: Case) -> Path:
    return Path(environment(case)["PREFECT_HOME"])


def _found(home: Path) -> str | None:
    """The address of the server that runs; one that does not answer in time is ended."""
    servers = marked(home, KIND)
    deadline = time.monotonic() + START_TIMEOUT_S
    while servers and time.monotonic() < deadline:
        for process in servers:
            if (api := _address(process)) and _answers(api):
                return api
        time.sleep(0.2)
        servers = [process for process in servers if alive(process)]
    end(servers)
    return None


def _address(process: psutil.Process) -> str | None:
    with suppress(psutil.Error):
        return process.environ().get(ADDRESS)
    return None


def _answers(api: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{api}/health", timeout=5).is_success
    return False


def _started(port: int, case: Case) -> str:
    home, api = _home(case), f"http://127.0.0.1:{port}/api"
    env = environment(case)
    if not env.get(DATABASE):
        check_database(home / "prefect.db")
        # Prefect does not quote its home, and would take a ? in it for the end of the file's name
        env[DATABASE] = f"sqlite+aiosqlite:///{quote(str(home / 'prefect.db'))}"
    env |= {ADDRESS: api, **mark(home, KIND)}
    log = case.servers / "prefect-server.log"
    lock = home / USERS
    Server("Prefect", prefect_command(port), f"{api}/health", log, env, lock).start().release()
    return api


def check_database(path: Path) -> None:
    """Raises StageError if a file is there and is no database."""
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path, timeout=30)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        raise StageError(
            f"{path}: no database of Prefect's ({error}). Move it away: it holds what Prefect's "
            "page shows of earlier runs; models and finished steps lie elsewhere"
        ) from None
