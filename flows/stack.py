"""The shared servers as processes of this machine: started, looked at, stopped.

They outlive the command that starts them. ``.acme/stack/state.json`` knows each one by its pid and
start time, so that a pid that the system gave to somebody else is never stopped.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from flows import postgres
from flows.services import environment, launch, wait
from flows.topology import (
    BASE_PORT,
    SERVICES,
    Service,
    Topology,
    make_buckets,
    make_queues,
    mlflow_ini,
    services,
)
from tasks.errors import StageError

STOP_TIMEOUT_S = 15.0
CLOCK_SLACK_S = 2.0  # a clock that was set moves the start times that psutil reports


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
    """A stack of its own while the block runs; leaves no process and no data."""
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
    records = _read(root)["processes"]
    result = {name: _state(records.get(name)) for name in SERVICES}
    return result | {"postgres": "up" if postgres.running(root) else "down"}


def status(root: Path) -> None:
    """Print each service, its address and how it is."""
    topology = Topology("", "", _read(root)["base_port"])
    for name, state in states(root).items():
        print(f"{name:10}{state:7}{topology.address(name)}")


def stop_all(root: Path) -> None:
    """Stop every server of the last start, in reverse order, and forget them."""
    for record in reversed(list(_read(root)["processes"].values())):
        _stop(family(**record))
    postgres.stop(root)
    for name in ("state.json", "env", "mlflow.ini"):
        (_folder(root) / name).unlink(missing_ok=True)


def family(pid: int, created: float) -> list[psutil.Process]:
    """A server that we started and all that runs below it; none if its pid is another's now.

    A server that died leaves its children in its process group: they are ours too.
    """
    members = [p for p in psutil.process_iter() if _group(p.pid) == pid]
    with suppress(psutil.NoSuchProcess):
        leader = psutil.Process(pid)
        if abs(leader.create_time() - created) > CLOCK_SLACK_S:
            return []
        # a worker gives every flow run a process group of its own
        members += leader.children(recursive=True)
    return list({p.pid: p for p in members}.values())


def _start_all(root: Path, topology: Topology) -> None:
    write_private(_folder(root), "mlflow.ini", mlflow_ini(topology))
    postgres.start(root, topology.port("postgres"), topology.user, topology.password)
    _say(topology, "postgres")
    for service in services(topology, _folder(root)):
        _start(root, topology, service)
        _say(topology, service.name)


def _start(root: Path, topology: Topology, service: Service) -> None:
    log = _folder(root) / f"{service.name}.log"
    env = {**environment(root), **topology.variables, **service.env}
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
    known = {"pid": pid, "created": psutil.Process(pid).create_time()}
    processes = _read(root)["processes"] | {name: known}
    state = {"base_port": topology.base_port, "processes": processes}
    write_private(_folder(root), "state.json", json.dumps(state, indent=2))


def _state(record: dict[str, Any] | None) -> str:
    if record is None:
        return "down"
    alive = any(
        p.pid == record["pid"] and p.status() != psutil.STATUS_ZOMBIE for p in family(**record)
    )
    return "up" if alive else "ended"


def _stop(processes: list[psutil.Process]) -> None:
    for sign in (signal.SIGINT, signal.SIGKILL):
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(sign)
        _, processes = psutil.wait_procs(processes, STOP_TIMEOUT_S)


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _folder(root: Path) -> Path:
    return root / ".acme/stack"


def _read(root: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((_folder(root) / "state.json").read_text())
    except FileNotFoundError:
        return {"base_port": BASE_PORT, "processes": {}}
    return state


def write_private(folder: Path, name: str, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all.

    Not by tasks.store, which loads torch: status and down answer at once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # the logs are nobody else's business
    partial = folder / f".{name}.partial"
    partial.touch(mode=0o600)
    partial.write_text(text)
    partial.replace(folder / name)
