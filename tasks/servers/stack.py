"""The shared servers as processes of this machine: started, looked at, stopped.

They outlive the command that starts them; ``.acme/stack/state.json`` remembers them.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from boltons.fileutils import atomic_save

from tasks.run.errors import StageError
from tasks.servers import postgres
from tasks.servers.processes import Known
from tasks.servers.services import environment, launch, wait
from tasks.servers.topology import (
    BASE_PORT,
    SERVICES,
    Service,
    Topology,
    make_buckets,
    make_queues,
    mlflow_ini,
    services,
)
from tasks.settings.case import Case


def up(root: Path, base_port: int = BASE_PORT) -> dict[str, str]:
    """Start every server and wait for it; changes nothing if all are up. Gives the variables that
    a client needs, which are also left in ``.acme/stack/env``.

    Raises:
        SettingsError: ACME_PASSWORD or ACME_USER does not do.
        StageError: a package is missing, a port is taken, or a server does not start (those that
            did are stopped again).
    """
    topology = Topology.of(os.environ, base_port)
    found = states(root)
    if set(found.values()) == {"up"}:
        print("The stack is up already; nothing is changed.")
        return Topology.of(os.environ, _read(root)["base_port"]).variables
    stop_all(root)  # what a crash left
    _check_packages()
    check_ports(topology)
    try:
        _start_all(root, topology)
    except BaseException:
        stop_all(root)
        raise
    exports = [f"export {name}={shlex.quote(v)}\n" for name, v in topology.variables.items()]
    write_private(_folder(root), "env", "".join(exports))
    return topology.variables


def down(root: Path, delete_data: bool = False) -> None:
    """Stop what :func:`up` started. Data stay, but what S3 held, unless they are to go."""
    was_up = set(states(root).values()) != {"down"}
    stop_all(root)
    if delete_data:
        postgres.delete(root)
    print("The stack is stopped." if was_up else "The stack is not up; nothing to stop.")


@contextmanager
def stack(root: Path, base_port: int = BASE_PORT) -> Iterator[dict[str, str]]:
    """A stack of its own while the block runs; leaves no process and no data.

    Raises:
        StageError: as :func:`up`, or there is a stack already, which must not be deleted.
    """
    if (postgres.folder(root) / "data").exists():
        raise StageError(f"{root} has a stack already: acme stack down --delete-data")
    try:
        yield up(root, base_port)
    finally:
        down(root, delete_data=True)


def prepare() -> None:
    """Make what is missing on servers that run already, named by our environment.

    Raises:
        StageError: a variable is not set.
    """
    try:
        make_buckets(os.environ)
        make_queues(os.environ)
    except KeyError as missing:
        raise StageError(f"{missing.args[0]} is not set: see docs/stack.md") from None


def states(root: Path) -> dict[str, str]:
    """For each service: up, or down, or ended (it was up and nobody stopped it)."""
    result = dict.fromkeys(SERVICES, "down")
    for name, process in _read(root)["processes"].items():
        result[name] = "up" if Known(**process).alive() else "ended"
    return result | {"postgres": "up" if postgres.running(root) else "down"}


def status(root: Path) -> None:
    """Print each service, its address and how it is."""
    topology = Topology("", "", _read(root)["base_port"])
    for name, state in states(root).items():
        print(f"{name:10}{state:7}{topology.address(name)}")


def stop_all(root: Path) -> None:
    """Stop every server of the last start, in reverse order, and forget them."""
    for process in reversed(list(_read(root)["processes"].values())):
        Known(**process).stop()
    postgres.stop(root)
    for name in ("state.json", "env", "mlflow.ini"):
        (_folder(root) / name).unlink(missing_ok=True)


def _start_all(root: Path, topology: Topology) -> None:
    write_private(_folder(root), "mlflow.ini", mlflow_ini(topology))
    postgres.start(root, topology.port("postgres"), topology.user, topology.password)
    _say(topology, "postgres")
    for service in services(topology, _folder(root)):
        _start(root, topology, service)
        _say(topology, service.name)


def _start(root: Path, topology: Topology, service: Service) -> None:
    log = _folder(root) / f"{service.name}.log"
    env = {**environment(Case(root)), **topology.variables, **service.env}
    process = launch(service.command, log, env, cwd=root)
    record(root, topology, service.name, process.pid)
    wait(service.name, process, service.health, log)
    service.prepare()


def _say(topology: Topology, name: str) -> None:
    print(f"{name:10}{topology.address(name)}", flush=True)


def check_ports(topology: Topology) -> None:
    """Raises StageError if something else listens on a port of the stack."""
    for name in SERVICES:
        port = topology.port(name)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                raise StageError(
                    f"port {port} ({name}) is taken: free it, or give another --base-port"
                ) from None


def _check_packages() -> None:
    missing = [name for name in ("boto3", "flask_wtf", "moto", "psycopg2") if not find_spec(name)]
    if missing:
        raise StageError(f"{', '.join(missing)}: not installed: pip install -e '.[stack]'")


def record(root: Path, topology: Topology, name: str, pid: int) -> None:
    """Remember a server that runs, before anything can go wrong with it."""
    processes = _read(root)["processes"] | {name: asdict(Known.by(pid))}
    state = {"base_port": topology.base_port, "processes": processes}
    write_private(_folder(root), "state.json", json.dumps(state, indent=2))


def _folder(root: Path) -> Path:
    return Case(root).servers / "stack"


def _read(root: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((_folder(root) / "state.json").read_text())
    except FileNotFoundError:
        return {"base_port": BASE_PORT, "processes": {}}
    return state


def write_private(folder: Path, name: str, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # the logs are nobody else's business
    partial = {"part_file": f".{name}.partial", "overwrite_part": True}
    with atomic_save(folder / name, file_perms=0o600, text_mode=True, **partial) as file:
        file.write(text)
