"""The command line: one clear line and exit code 2 for what a person can mend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.settings.fields import read_yaml, yaml_text
from tasks.settings.stages import ACME

ROOT = Path(__file__).parents[3]


def acme(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [*ACME, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["run", "--fast"], "--fast"),
        (["stage", "training"], "training"),
        (["stage"], "NAME"),
        (["fly"], "fly"),
        (["check", "--params", "nowhere.yaml"], "nowhere.yaml"),
        (["fleet", "--summary", "nowhere.json"], "nowhere.json"),
        (["run", "--params", "nowhere.yaml"], "nowhere.yaml"),
        (["export", "99"], "99: no such device. The fleet has: device-00"),
        (["rollback", "device-x"], "device-x: no such device"),
        (["promote", "99"], "99: no such device"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(arguments: list[str], named: str) -> None:
    done = acme(*arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("acme: ")
    assert named in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_bad_settings_are_named(tmp_path: Path) -> None:
    values = read_yaml(ROOT / "params.yaml")
    values["refinement"]["rounds"] = 0
    path = tmp_path / "params.yaml"
    path.write_text(yaml_text(values))
    done = acme("check", "--params", str(path))
    assert done.returncode == 2
    assert "refinement.rounds" in done.stderr


def test_check_accepts_the_shipped_settings() -> None:
    done = acme("check")
    assert done.returncode == 0
    assert "3 edge servers, 12 devices" in done.stdout


def test_the_fleet_table_is_readable_without_a_terminal(finished: Path) -> None:
    done = acme("fleet", cwd=finished)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    for device in range(4):
        assert f"device-0{device}" in done.stdout
    assert "Uplink" in done.stdout


def test_an_evaluation_uses_the_project_s_server_and_cache() -> None:
    # Prefect reads its environment when it is first imported: once too early and nothing is shared
    code = """
import contextlib, pathlib
from tasks.settings.fields import read_yaml, yaml_text
from flows.command import evaluation

def ran(*_):
    from prefect.settings import get_current_settings
    settings = get_current_settings()
    print(settings.results.local_storage_path, settings.logging.level)

environment = {"PREFECT_LOCAL_STORAGE_PATH": "/of/this/project", "PREFECT_LOGGING_LEVEL": "ERROR"}
environment["PREFECT_API_URL"] = "http://127.0.0.1:9/api"
evaluation.prefect_server = lambda root: contextlib.nullcontext(environment)
evaluation.run_experiment, evaluation.finish = ran, lambda scale: None
evaluation.evaluate_paper(["fig1"], "quick", None, pathlib.Path("params.yaml"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["/of/this/project", "ERROR"]
