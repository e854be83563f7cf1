"""Servers that a command is told to use and cannot: one line, exit code 2, within seconds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.servers.services import free_port
from tests.tiny import ROOT

NOWHERE = f"127.0.0.1:{free_port()}"
UNUSABLE = {
    "malformed": ("PREFECT_API_URL", f"{NOWHERE}/api"),
    "no port": ("PREFECT_API_URL", "http://127.0.0.1:port/api"),
    "down": ("PREFECT_API_URL", f"http://{NOWHERE}/api"),
    "wrong scheme": ("MLFLOW_TRACKING_URI", f"htp://{NOWHERE}"),
    "down too": ("MLFLOW_TRACKING_URI", f"http://{NOWHERE}"),
    "database down": ("MLFLOW_TRACKING_URI", f"postgresql://acme:secret@{NOWHERE}/mlflow"),
    "a file store": ("MLFLOW_TRACKING_URI", "mlruns"),
}


@pytest.fixture
def acme(pinned: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs an `acme` command in a copy of the tiny project, with variables of its own."""
    root = tmp_path / "project"
    shutil.copytree(pinned, root)

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
        command = [sys.executable, "-P", "-m", "flows.command.cli", *words]
        return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)

    return run


def is_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Whether a command said so, and nothing else, and left with exit code 2."""
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("acme: ")
    assert "secret" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", UNUSABLE)
def test_a_server_that_cannot_be_used_is_one_line_before_work_starts(
    acme: Callable[..., subprocess.CompletedProcess[str]], how: str, tmp_path: Path
) -> None:
    name, value = UNUSABLE[how]
    start = time.monotonic()
    is_one_line(acme("stage", "partition", **{name: value}), name)
    assert time.monotonic() - start < 30
    assert not (tmp_path / "project/artifacts").exists()
    if name == "MLFLOW_TRACKING_URI":
        is_one_line(acme("promote", **{name: value}), name)


@pytest.mark.slow
def test_a_database_of_prefect_s_that_is_none_is_named(
    acme: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    path = tmp_path / "project/.acme/prefect/prefect.db"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"garbage " * 1000)
    is_one_line(acme("stage", "partition"), str(path), "Move it away")
