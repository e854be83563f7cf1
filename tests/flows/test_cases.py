"""Two kinds of data beside each other in one clone: each runs, and says nothing of the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.settings.case import Case
from tasks.settings.fields import read_yaml, yaml_text
from tasks.settings.stages import ACME
from tests.tiny import clone

pytestmark = pytest.mark.slow
DVC = (sys.executable, "-m", "dvc")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clone whose own case has run, and then the case ``digits``."""
    from tasks.experiments.second import write_digits

    root = tmp_path_factory.mktemp("cases") / "project"
    clone(root)
    write_digits(root / "cases/digits/data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(root))
        for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
            patch.delenv(name, raising=False)
        call(root, *ACME, "data", "pin")
        call(root, *ACME, "run")
        flags = ("--source", "image-folder", "--devices", "3", "--clusters", "1", "--yes")
        said = call(root, *ACME, "--case", "digits", "init", *flags)
        assert said.endswith("Next:\n  acme --case digits data pin\n  acme --case digits run\n")
        call(root, *ACME, "--case", "digits", "data", "pin")
        said = call(root, *ACME, "--case", "digits", "run")
        assert "Report: cases/digits/artifacts/report.html" in said
        yield root


def call(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def stale(case: Case) -> set[str]:
    return set(json.loads(call(case.folder, *DVC, "status", "--json")))


def cases(project: Path) -> tuple[Case, Case]:
    return Case(project), Case(project, "digits")


def test_each_has_its_own_report_and_registered_models(project: Path) -> None:
    from mlflow import MlflowClient

    own, digits = cases(project)
    devices = [json.loads(case.summary.read_text())["devices"] for case in (own, digits)]
    assert [len(rows) for rows in devices] == [4, 3]
    pages = [case.report.read_text() for case in (own, digits)]
    assert ["acme --case digits ui" in page for page in pages] == [False, True]
    client = MlflowClient(f"sqlite:///{project / 'mlflow/store/mlflow.db'}")
    models = {m.name: m.aliases for m in client.search_registered_models()}
    assert set(models) == {
        *(f"acme-device-0{i}" for i in range(4)),
        *("acme-backbone-north", "acme-backbone-south"),
        *(f"acme-digits-device-0{i}" for i in range(3)),
        "acme-digits-backbone-edge-0",
    }
    assert all(set(aliases) == {"champion"} for aliases in models.values())
    names = {e.name for e in client.search_experiments()}
    kinds = ("1-backbones", "2-headers", "3-devices")
    assert {f"{case.label}-{kind}" for case in (own, digits) for kind in kinds} <= names


def test_prefect_knows_the_runs_by_their_case(project: Path) -> None:
    code = """
from prefect.client.orchestration import get_client
with get_client(sync_client=True) as client:
    for run in client.read_flow_runs():
        print(run.name, *run.tags, sep="|")
"""
    environment = {"PREFECT_HOME": str(project / ".acme/prefect"), "PREFECT_LOGGING_LEVEL": "ERROR"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    runs = set(done.stdout.splitlines())
    for stage in ("partition", "backbone", "customize", "evaluate"):
        assert {f"{stage}, seed 0", f"digits: {stage}, seed 0|digits"} <= runs


def test_each_has_its_own_status(project: Path) -> None:
    own, digits = cases(project)
    assert [stale(case) for case in (own, digits)] == [set(), set()]
    listed = call(digits.folder, *ACME, "cases")
    assert listed.count("up to date") == 2
    assert "cases/digits/params.yaml" in listed
    settings = read_yaml(digits.params)
    settings["refinement"]["rounds"] = 1
    digits.params.write_text(yaml_text(settings))
    both = {"customize", "evaluate"}  # whose ceiling is tuned as devices tune
    assert [stale(case) for case in (own, digits)] == [set(), both]
    code = project / "tasks/edge/mixing.py"
    code.write_text(code.read_text() + "# an edit\n")
    assert [stale(case) for case in (own, digits)] == [{"customize"}, both]


def test_a_command_called_in_its_folder_is_of_the_case(project: Path) -> None:
    own, digits = cases(project)
    inside = call(digits.folder, *ACME, "fleet")
    assert inside == call(project, *ACME, "--case", "digits", "fleet")
    assert inside != call(project, *ACME, "fleet")
    out = call(project, *ACME, "--case", "digits", "export", "0", "--format", "safetensors")
    assert "cases/digits/artifacts/export/device-00/safetensors" in out
    assert not own.export.exists()


def test_git_holds_what_a_user_keeps_of_a_case(project: Path) -> None:
    call(project, "git", "add", "-A")
    held = set(call(project, "git", "ls-files", "cases").splitlines())
    kept = ("dvc.yaml", "dvc.lock", "params.yaml", "data.dvc", "data.sha256", ".gitignore")
    dvc = (".dvc/config", ".dvc/.gitignore")
    assert held == {f"cases/digits/{name}" for name in (*kept, *dvc)}
