"""The shared servers: what is remembered, and what is stopped."""

from __future__ import annotations

import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tasks.run.errors import StageError
from tasks.servers import postgres, stack
from tasks.servers.server import marked
from tasks.servers.topology import Service, Topology
from tests.tasks.servers.test_servers_server import until

PARENT = """
import http.server, subprocess, sys
sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
subprocess.Popen(sleeper, start_new_session=True)
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind="127.0.0.1")
"""
"""A server with a child in a process group of its own, as a worker has for each flow run."""


def base_port() -> int:
    """The first of six ports that are free, below those that the system hands out."""
    while True:
        first = 20000 + secrets.randbelow(4000)
        try:
            stack.check_ports(Topology("acme", "", first))
        except StageError:
            continue
        return first


@pytest.fixture
def first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The base port of a stack of one web server, which is not up yet, in ``tmp_path``."""
    port = base_port()
    (tmp_path / "parent.py").write_text(PARENT)
    command = [sys.executable, str(tmp_path / "parent.py"), str(port)]
    parent = Service("s3", command, f"http://127.0.0.1:{port}")
    monkeypatch.setenv("ACME_PASSWORD", secrets.token_hex(16))
    monkeypatch.setattr(stack, "services", lambda topology, folder: [parent])
    monkeypatch.setattr(stack, "SERVICES", ("s3",))
    monkeypatch.setattr(postgres, "start", lambda *arguments: None)
    yield port
    stack.stop_all(tmp_path)


def test_a_server_that_ends_is_started_again_and_goes_with_what_it_started(
    tmp_path: Path, first: int
) -> None:
    stack.up(tmp_path, first)
    assert stack.states(tmp_path) == {"s3": "up"}
    before = marked(tmp_path / ".acme/stack", stack.KIND)
    assert len(before) == 3  # supervisord, the server and its child
    server = next(p for p in before if str(first) in p.cmdline())
    server.kill()
    again = f"http://127.0.0.1:{first}"
    assert until(lambda: not server.is_running() and answers(again))
    assert stack.states(tmp_path) == {"s3": "up"}
    assert len(marked(tmp_path / ".acme/stack", stack.KIND)) == 4  # and the first one's child
    stack.down(tmp_path)
    assert not marked(tmp_path / ".acme/stack", stack.KIND)
    assert stack.states(tmp_path) == {"s3": "down"}


@pytest.mark.slow
def test_what_a_killed_supervisor_left_is_said_and_ended_by_the_next_start(
    tmp_path: Path, first: int
) -> None:
    stack.up(tmp_path, first)
    before = marked(tmp_path / ".acme/stack", stack.KIND)
    next(p for p in before if "supervisor.supervisord" in p.cmdline()).kill()
    assert until(lambda: stack.states(tmp_path) == {"s3": "ended"})
    stack.up(tmp_path, first)
    assert stack.states(tmp_path) == {"s3": "up"}
    assert not [p for p in before if p.is_running()]


@pytest.mark.slow
def test_what_a_killed_start_left_is_said_and_in_nobody_s_way(
    tmp_path: Path, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = stack.services(Topology("acme", ""), tmp_path)
    never = Service("mlflow", [sys.executable, "-c", "exit(1)"], f"http://127.0.0.1:{first + 1}")
    with monkeypatch.context() as killed:  # it stops nothing, as whoever is killed does not
        killed.setattr(stack, "services", lambda topology, folder: [*whole, never])
        killed.setattr(stack, "stop_all", lambda root: None)
        with pytest.raises(StageError):
            stack.up(tmp_path, first)
    monkeypatch.setattr(stack, "SERVICES", ("s3", "mlflow"))
    assert stack.states(tmp_path) == {"s3": "up", "mlflow": "ended"}
    monkeypatch.setattr(stack, "SERVICES", ("s3",))
    stack.down(tmp_path)
    assert not marked(tmp_path / ".acme/stack", stack.KIND)
    stack.up(tmp_path, first)


def answers(address: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(address).is_success
    return False


def test_a_secret_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "stack"
    stack.write_private(folder, "env", "old")
    (folder / "env").chmod(0o644)
    stack.write_private(folder, "env", "new")
    assert [oct(p.stat().st_mode & 0o777) for p in (folder, folder / "env")] == ["0o700", "0o600"]
    assert [(p.name, p.read_text()) for p in folder.iterdir()] == [("env", "new")]


def test_down_with_nothing_up_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stack.down(tmp_path)
    assert capsys.readouterr().out == "The stack is not up; nothing to stop.\n"


def test_a_port_that_is_taken_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_PASSWORD", secrets.token_hex(16))
    first = base_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", first + 3))
        other.listen()
        with pytest.raises(StageError, match=rf"port {first + 3} \(s3\) is taken.*--base-port"):
            stack.up(tmp_path, first)


def test_preparing_without_servers_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    with pytest.raises(StageError, match="AWS_ENDPOINT_URL_S3 is not set"):
        stack.prepare()


def test_ports_beyond_the_last_are_refused() -> None:
    with pytest.raises(StageError, match=r"port 65536 .* --base-port"):
        stack.check_ports(Topology("acme", "", 65533))


def test_a_server_that_fails_stops_the_others_and_names_its_log(
    tmp_path: Path, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = [sys.executable, "-m", "http.server", str(first), "--bind", "127.0.0.1"]
    good = Service("s3", web, f"http://127.0.0.1:{first}")
    bad = Service("mlflow", [sys.executable, "-c", "raise SystemExit(3)"], "http://127.0.0.1:9")
    monkeypatch.setattr(stack, "services", lambda topology, folder: [good, bad])
    with pytest.raises(StageError, match=r"mlflow ended while starting: see .*mlflow\.log"):
        stack.up(tmp_path, first)
    assert set(stack.states(tmp_path).values()) == {"down"}
    stack.check_ports(Topology("acme", "", first))
    left = sorted(p.name for p in (tmp_path / ".acme/stack").iterdir())
    assert left == ["mlflow.log", "s3", "s3.log", "supervisord.log"]


def test_a_stack_with_data_is_not_taken_for_a_passing_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "folder", lambda root: tmp_path)
    (tmp_path / "data").mkdir()
    with pytest.raises(StageError, match="has a stack already"), stack.stack(tmp_path):
        pass
    assert (tmp_path / "data").exists()


def test_a_machine_without_postgres_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr(postgres.pwd, "getpwnam", nobody)
    monkeypatch.setattr(postgres, "installed", lambda: [])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert set(stack.states(tmp_path).values()) == {"down"}
    with pytest.raises(StageError, match=r"PostgreSQL is missing: apt install postgresql"):
        postgres.start(tmp_path, 1, "acme", "password")
    assert list(postgres.folder(tmp_path).iterdir()) == []  # no password left behind
