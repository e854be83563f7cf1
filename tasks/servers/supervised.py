"""supervisord over the servers of the stack: it starts them, starts again what ends, and is asked
over XML-RPC on loopback, with a word that only its owner can read."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from xmlrpc.client import Error, Fault, ServerProxy

import httpx
import psutil

from tasks.run.errors import StageError
from tasks.servers.topology import Service

START_TIMEOUT_S = 120.0
USER = "acme"
STOP_TIMEOUT_S = 15
"""How long a server may take to end before it is killed."""


def configuration(services: Sequence[Service], folder: Path, address: str, word: str) -> str:
    """The text of supervisord.conf; it holds the word that the XML-RPC needs, and no other secret.

    Args:
        address: host and port of the XML-RPC.
    """
    sections: dict[str, dict[str, Any]] = {
        "supervisord": {
            "logfile": folder / "supervisord.log",
            "pidfile": folder / "supervisord.pid",
            "childlogdir": folder,
            "umask": "077",
        },
        "inet_http_server": {"port": address, "username": USER, "password": word},
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
    }
    for place, service in enumerate(services):
        sections[f"program:{service.name}"] = {
            "command": shlex.join(service.command),
            "priority": place,  # the last is ended first
            "autostart": "false",  # one after the other, each when those that it needs are up
            "autorestart": "true",
            "startretries": 3,
            "stopwaitsecs": STOP_TIMEOUT_S,
            "stopasgroup": "true",
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": folder / f"{service.name}.log",
        }
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {_escaped(value)}\n" for key, value in its.items())
        for name, its in sections.items()
    )


def _escaped(value: object) -> str:
    return str(value).replace("%", "%%")  # else the name of a variable


class Supervisor:
    """The supervisord of a stack, wherever it was started."""

    def __init__(self, address: str, word: str) -> None:
        self._rpc: Any = ServerProxy(f"http://{USER}:{word}@{address}/RPC2").supervisor

    def start(self, conf: Path, env: Mapping[str, str], cwd: Path) -> None:
        """Start it; it goes on when this process ends, and each server runs with ``env``.

        Raises:
            StageError: it does not start; says why.
        """
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(conf)]
        done = subprocess.run(
            command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not done.returncode and time.monotonic() < deadline:
            if self.states() is not None:
                return
            time.sleep(0.1)
        said = (done.stderr or done.stdout).strip() or f"see {conf.with_name('supervisord.log')}"
        raise StageError(f"supervisord did not start: {said}")

    def start_server(self, service: Service, log: Path) -> None:
        """Start one server, wait until it answers, and prepare it.

        Raises:
            StageError: it ends or does not answer in time; names its log.
        """
        try:
            self._rpc.startProcess(service.name, False)
        except Fault as fault:
            raise StageError(f"{service.name} did not start: {fault.faultString}") from None
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            state = (self.states() or {}).get(service.name)
            if state in ("BACKOFF", "EXITED", "FATAL"):
                raise StageError(f"{service.name} ended while starting: see {log}")
            with suppress(httpx.TransportError):
                if httpx.get(service.health, timeout=5).status_code < 500:
                    service.prepare()
                    return
            time.sleep(0.2)
        raise StageError(f"{service.name} did not answer within {START_TIMEOUT_S:.0f} s: see {log}")

    def states(self) -> dict[str, str] | None:
        """supervisord's name for the state of each server; None if it does not answer."""
        try:
            return {its["name"]: its["statename"] for its in self._rpc.getAllProcessInfo()}
        except (OSError, Error):
            return None

    def stop(self) -> None:
        """End every server, the last started first, and supervisord; harmless when it is down."""
        with suppress(OSError, Error, psutil.NoSuchProcess):
            supervisord = psutil.Process(self._rpc.getPID())
            self._rpc.shutdown()
            psutil.wait_procs([supervisord], 4 * STOP_TIMEOUT_S)
