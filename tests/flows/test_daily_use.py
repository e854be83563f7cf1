"""A week on the shared servers: deployed, customized, one device's data changed, refined."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tasks.servers import stack
from tasks.servers.services import environment
from tasks.settings.case import Case
from tests.tasks.servers.test_servers_stack import base_port
from tests.tiny import bring, clone

pytestmark = pytest.mark.slow
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Project:
    """A clone on a stack of its own, with the environment of its users."""

    root: Path
    env: dict[str, str]

    def run(self, *command: str) -> str:
        """Run a command of the environment; its output, both streams."""
        program = str(BIN / command[0]) if (BIN / command[0]).exists() else command[0]
        done = subprocess.run(
            [program, *command[1:]], cwd=self.root, env=self.env, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A clone with tiny settings and data, and the stack up for it."""
    root = tmp_path_factory.mktemp("daily") / "project"
    clone(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACME_PASSWORD", secrets.token_hex(16))
        patch.setenv("PYTHONPATH", str(root))
        patch.delenv("PREFECT_API_URL", raising=False)
        with stack.stack(root, base_port()) as variables:
            yield Project(root, {**environment(Case(root)), **variables})


def versions(project: Project) -> dict[str, dict[str, str]]:
    """The versions that each registered model's aliases are of."""
    from mlflow import MlflowClient

    with pytest.MonkeyPatch.context() as patch:
        for name, value in project.env.items():
            patch.setenv(name, value)
        client = MlflowClient(project.env["MLFLOW_TRACKING_URI"])
        models = client.search_registered_models()
        return {m.name: {a: str(v) for a, v in m.aliases.items()} for m in models}


def test_a_week(project: Project) -> None:
    project.run("acme", "data", "pin")
    said = project.run("prefect", "--no-prompt", "deploy", "--all")
    assert "customization/weekly" in said
    project.run("prefect", "deployment", "run", "customization/weekly", "--watch")
    first = versions(project)
    devices = {f"acme-device-0{i}" for i in range(4)}
    assert set(first) == devices | {"acme-backbone-north", "acme-backbone-south"}
    assert all(aliases == {"champion": "1"} for aliases in first.values())

    bring(project.root, "device-01", "0", "0", 40)
    bring(project.root, "device-01", "1", "1", 40)
    project.run("acme", "data", "pin")
    project.run("prefect", "deployment", "run", "check-devices/nightly", "--watch")
    second = versions(project)
    assert {name for name in first if first[name] != second[name]} == {"acme-device-01"}
    assert set(second["acme-device-01"].values()) <= {"1", "2"}
    assert "2" in second["acme-device-01"].values()

    pushed_and_pulled(project)

    ours = [p for p in psutil.process_iter() if _runs_in(p, project.root)]
    assert ours, "the worker and the servers run in the project"
    stack.down(project.root)
    psutil.wait_procs(ours, 10)
    assert not [p for p in ours if p.is_running()]


def pushed_and_pulled(project: Project) -> None:
    """What was run here is up to date in a second clone that pulls it from the stack's S3."""
    dvc = [sys.executable, "-m", "dvc"]
    me = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    project.run(*dvc, "repro")  # the night's partition made the later stages stale
    project.run(*dvc, "remote", "add", "-d", "stack", "s3://dvc/files")
    project.run(
        *dvc, "remote", "modify", "stack", "endpointurl", project.env["AWS_ENDPOINT_URL_S3"]
    )
    project.run("git", *me, "commit", "-qam", "the week")
    project.run("git", "add", "dvc.lock")
    project.run("git", *me, "commit", "-qm", "its lock", "--allow-empty")
    project.run(*dvc, "push")
    there = project.root.with_name("there")
    project.run("git", "clone", "-q", str(project.root), str(there))
    clone = Project(there, project.env | {"PYTHONPATH": str(there)})
    clone.run(*dvc, "pull", "dvc.yaml", "data.dvc")
    assert "Data and pipelines are up to date." in clone.run(*dvc, "repro")
    for name in ("summary.json", "report.html"):
        ours, theirs = (p.root / "artifacts" / name for p in (project, clone))
        assert ours.read_bytes() == theirs.read_bytes()


def _runs_in(process: psutil.Process, root: Path) -> bool:
    try:
        return process.pid != os.getpid() and Path(process.cwd()) == root
    except (psutil.Error, OSError):
        return False
