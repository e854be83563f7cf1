"""The one Prefect server of a project: shared by who needs it, gone with the last of them. (A web
server stands for Prefect: it answers at the same address.)"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.run.errors import SettingsError, StageError
from tasks.servers import shared
from tasks.servers.server import marked
from tasks.servers.services import free_port
from tasks.settings.case import Case
from tests.tasks.servers.test_servers_server import until
from tests.tiny import ROOT

USER = """
import sys
from pathlib import Path
from tasks.servers import shared
from tasks.settings.case import Case
from tests.tasks.servers.test_servers_shared import stand_in
shared.prefect_command, shared.mark_crashed = stand_in, lambda *_, **__: 0
with shared.prefect_server(Case(Path.cwd())) as env:
    print(env["PREFECT_API_URL"], flush=True)
    sys.stdin.read()
"""


def stand_in(port: int) -> list[str]:
    """A web server over the working folder."""
    return ["http.server", str(port), "--bind", "127.0.0.1"]


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    """A project whose stand-in for Prefect answers."""
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "PREFECT_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "api").mkdir()
    (tmp_path / "api/health").write_text("true")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(shared, "prefect_command", stand_in)
    monkeypatch.setattr(shared, "mark_crashed", lambda *_, **__: 0)
    return Case(tmp_path)


def servers(case: Case) -> int:
    return len(marked(case.servers / "prefect", shared.KIND))


def test_who_comes_second_uses_the_server_and_may_stay_longer(case: Case) -> None:
    left = case.work / "store/rounds/.0ff1ce.999999999.partial"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    first = shared.prefect_server(case)
    api = first.__enter__()["PREFECT_API_URL"]
    with shared.prefect_on(free_port(), case) as again:
        assert again == api
        assert not left.exists(), "what a killed run left half written is gone"
        first.__exit__(None, None, None)
        assert not until(lambda: servers(case) != 1, within_s=1)
        assert shared._answers(api)
    assert until(lambda: not servers(case))


def test_the_server_stays_with_the_living_and_goes_with_the_last_that_was_killed(
    case: Case,
) -> None:
    command = [sys.executable, "-c", USER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    users = [subprocess.Popen(command, start_new_session=True, **pipes) for _ in range(3)]
    said = {user.stdout.readline() for user in users if user.stdout}
    assert len(said) == 1
    assert servers(case) == 1
    for user in users:
        assert servers(case) == 1
        os.killpg(user.pid, signal.SIGKILL)
        user.communicate()
    assert until(lambda: not servers(case))
    with shared.prefect_on(None, case):  # and the next start finds nothing in its way
        assert servers(case) == 1


def test_a_server_that_does_not_answer_is_ended_and_another_started(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shared.prefect_on(None, case):
        (case.project / "api/health").unlink()  # it answers no more, as if it hung
        monkeypatch.setattr(shared, "START_TIMEOUT_S", 0.5)
        monkeypatch.setattr(shared, "_started", lambda port, case: f"started, {servers(case)} left")
        with shared.prefect_on(None, case) as api:
            assert api == "started, 0 left"


def test_a_database_that_is_none_is_named_with_its_remedy(case: Case) -> None:
    path = case.servers / "prefect/prefect.db"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database " * 500)
    with (
        pytest.raises(StageError, match=r"prefect\.db: no database.*Move it away"),
        shared.prefect_on(None, case),
    ):
        pass
    assert path.read_bytes() == b"no database " * 500
    assert not servers(case)


def test_a_named_server_is_asked_and_none_is_started(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{free_port()}/api")
    with pytest.raises(StageError, match="PREFECT_API_URL"), shared.prefect_server(case):
        pass
    monkeypatch.setenv("PREFECT_API_URL", "127.0.0.1:4200")
    with pytest.raises(SettingsError, match="PREFECT_API_URL"), shared.prefect_server(case):
        pass
    assert not servers(case)


def test_a_place_that_cannot_be_written_is_named(case: Case) -> None:
    case.servers.write_text("a file where a folder should be")
    with (
        pytest.raises(StageError, match=r"users\.lock: cannot write: Not a directory"),
        shared.prefect_server(case),
    ):
        pass


WATCHED = """
import os, time
from tasks.servers import shared
shared.PAUSE_S, shared.PATIENCE_S = 0.1, 0.3
with shared.watched(os.environ):
    print("at work", flush=True)
    time.sleep(60)
"""


def test_a_server_that_goes_midway_is_one_line_and_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.getsockname()[1]}/api")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [sys.executable, "-c", WATCHED]
    work = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert work.stdout is not None
    assert work.stdout.readline() == "at work\n"
    time.sleep(0.5)
    assert work.poll() is None
    server.close()
    _, errors = work.communicate(timeout=20)
    assert work.returncode == 2
    assert len(errors.splitlines()) == 1
    assert "acme: Prefect's server at http://127.0.0.1:" in errors
