"""Servers: started on loopback, waited for, and stopped."""

from __future__ import annotations

import os
import sys
import urllib.request
from pathlib import Path

import pytest

from tasks.run.errors import StageError
from tasks.servers import services
from tasks.settings.case import Case


def test_a_server_is_there_while_it_is_needed_and_gone_after(tmp_path: Path) -> None:
    port = services.free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    url, log = f"http://127.0.0.1:{port}", tmp_path / "logs/server.log"
    with services.serving("Test", command, url, log, dict(os.environ)) as process:
        assert urllib.request.urlopen(url, timeout=5).status == 200
        assert process.poll() is None
    assert process.poll() is not None


def test_a_server_that_ends_names_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no port left'); raise SystemExit(3)"]
    log = tmp_path / "server.log"
    with (
        pytest.raises(StageError, match=r"Test ended while starting.*server\.log"),
        services.serving("Test", command, "http://127.0.0.1:9", log, dict(os.environ)),
    ):
        pass
    assert "no port left" in log.read_text()


def test_a_named_prefect_server_is_used_and_none_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    with services.prefect_server(Case(tmp_path)) as env:
        assert env["PREFECT_API_URL"] == "http://127.0.0.1:1/api"
    assert not (tmp_path / ".acme/prefect-server.log").exists()


def test_results_stay_with_the_files_that_they_refer_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_LOCAL_STORAGE_PATH", "/elsewhere")
    env = services.environment(Case(tmp_path))
    assert env["PREFECT_LOCAL_STORAGE_PATH"] == str(tmp_path / "artifacts/work/results")
    assert env["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


def test_cases_share_servers_and_not_their_results(tmp_path: Path) -> None:
    own, digits = (services.environment(Case(tmp_path, name)) for name in (None, "digits"))
    assert {name for name in own if own[name] != digits[name]} == {"PREFECT_LOCAL_STORAGE_PATH"}
    results = str(tmp_path / "cases/digits/artifacts/work/results")
    assert digits["PREFECT_LOCAL_STORAGE_PATH"] == results
