"""A server that we start: there while it is needed, gone with whoever needed it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tasks.run.errors import StageError
from tasks.servers import server
from tasks.servers.server import Server, mark, marked
from tasks.servers.services import free_port

OWNER = """
import os, sys
from pathlib import Path
from tasks.servers.server import Server, mark
folder, port = Path(sys.argv[1]), sys.argv[2]
command = ["http.server", port, "--bind", "127.0.0.1"]
env = {**os.environ, **mark(folder, "page")}
with Server("Test", command, f"http://127.0.0.1:{port}", folder / "log", env):
    print("up", flush=True)
    sys.stdin.read()
"""


def until(true: Callable[[], object], within_s: float = 20.0) -> bool:
    """Whether something comes true in time."""
    deadline = time.monotonic() + within_s
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(true())


def page(folder: Path, *, bind: str = "127.0.0.1") -> tuple[Server, str]:
    """A web server that carries the mark of ``folder``, not started, and its address."""
    port = free_port()
    url, env = f"http://127.0.0.1:{port}", {**os.environ, **mark(folder, "page")}
    command = ["http.server", str(port), "--bind", bind]
    return Server("Test", command, url, folder / "logs/server.log", env), url


def test_a_server_is_there_while_it_is_needed_and_gone_after(tmp_path: Path) -> None:
    wanted, url = page(tmp_path)
    with wanted as running:
        assert urllib.request.urlopen(url, timeout=5).status == 200
        assert running.running()
        assert len(marked(tmp_path, "page")) == 1
        assert not marked(tmp_path, "prefect")
        assert not marked(tmp_path.parent, "page")
    assert not wanted.running()
    assert not marked(tmp_path, "page")


def test_a_server_that_ends_names_its_log(tmp_path: Path) -> None:
    wanted, _ = page(tmp_path, bind="no.such.host.invalid")
    with pytest.raises(StageError, match=r"Test ended while starting.*server\.log"), wanted:
        pass
    assert "gaierror" in (tmp_path / "logs/server.log").read_text()


def test_a_port_that_is_taken_is_named_and_its_server_left_alone(tmp_path: Path) -> None:
    wanted, _ = page(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", wanted.port))
        other.listen()
        with pytest.raises(StageError, match=rf"port {wanted.port} is taken"), wanted:
            pass
    assert not (tmp_path / "logs/server.log").read_text()


def test_a_server_goes_with_its_owner_that_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path), str(free_port())]
    owner = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"up\n"
    assert len(marked(tmp_path, "page")) == 1
    os.killpg(owner.pid, signal.SIGKILL)
    owner.communicate()
    assert until(lambda: not marked(tmp_path, "page"))


def test_a_page_whose_server_ends_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted, _ = page(tmp_path)
    with wanted as running:
        psutil.Process(running.process.pid).kill()
        with pytest.raises(StageError, match=r"Test ended: see .*server\.log"):
            server.until_interrupted(running)


def test_no_pid_is_a_part_of_a_mark_of_ours(tmp_path: Path) -> None:
    # mirakuru kills, at exit, what has the exiting process' pid anywhere in its mark
    assert page(tmp_path)[0].envvars["mirakuru_uuid"].isalpha()
