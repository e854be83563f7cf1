"""`acme run` where a machine is not as it should be: a full disk, a folder with an odd name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.tiny import ROOT, clone

pytestmark = pytest.mark.slow
SMALL, LARGE = "40m", "900m"
Project = Callable[[str], Path]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    def made(name: str) -> Path:
        (tmp_path / name).mkdir()
        clone(tmp_path / name)
        assert acme(tmp_path / name, "data", "pin").wait() == 0
        return tmp_path / name

    return made


def acme(root: Path, *words: str) -> subprocess.Popen[str]:
    """The command, as a person calls it, with nothing of the tests' own around it."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "MLFLOW"))}
    return subprocess.Popen(
        [sys.executable, "-m", "flows.command.cli", *words],
        cwd=root,
        env=kept | {"PYTHONPATH": str(ROOT)},
        stdout=(root.parent / "stdout").open("w"),
        stderr=(root.parent / "stderr").open("w"),
        text=True,
    )


def said(root: Path) -> str:
    return (root.parent / "stderr").read_text()


@pytest.fixture
def small_disk() -> Iterator[Callable[[Path], None]]:
    """Mounts a small disk on a folder; unmounted at the end."""
    mounted: list[Path] = []

    def mount(place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        words = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(place)]
        if os.geteuid() or subprocess.run(words, check=False).returncode:
            pytest.skip("needs the right to mount a file system")
        mounted.append(place)

    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> None:
    """Leave no room."""
    with suppress(OSError), (place / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.mark.parametrize("place", [".acme", "mlflow/store", "artifacts"])
def test_a_disk_that_gets_full_is_told_in_a_line_and_the_same_command_goes_on(
    place: str, project: Project, small_disk: Callable[[Path], None]
) -> None:
    root = project("project")
    small_disk(root / place)
    running = acme(root, "run")
    while running.poll() is None and "distilling" not in said(root):
        time.sleep(0.1)
    fill(root / place)
    assert running.wait(120) == 2, said(root)
    assert "Traceback" not in said(root)
    ours = [line for line in said(root).splitlines() if line.startswith("acme: ")]
    assert re.search("full|No space left", ours[0])
    assert re.search("[Mm]ake room|mend it|Mend that", ours[0])
    assert len(ours) <= 2  # of the stage, and of the command
    (root / place / "filler").unlink()
    subprocess.run(["mount", "-o", f"remount,size={LARGE}", str(root / place)], check=True)
    assert acme(root, "run").wait(400) == 0, said(root)
    assert (root / "artifacts/summary.json").exists()


def test_a_whole_run_in_a_folder_of_any_name(project: Project) -> None:
    root = project("5% off, 'é' #1 [a]* $HOME")
    assert acme(root, "run").wait(400) == 0, said(root)
    assert acme(root, "export", "device-00").wait(120) == 0, said(root)
    assert acme(root, "run").wait(120) == 0, said(root)
    assert "All stages are up to date." in (root.parent / "stdout").read_text()
    beside = {place.name for place in root.parent.iterdir()}
    assert beside == {root.name, "stdout", "stderr"}
    assert (root / "mlflow/store/mlflow.db").exists()


@pytest.mark.parametrize("name", ["what?", "5%25 off"])
def test_a_name_that_mlflow_reads_as_more_is_refused_before_work(
    name: str, project: Project
) -> None:
    root = project(name)
    for words in (["check"], ["run"]):
        assert acme(root, *words).wait(60) == 2
        [line] = said(root).splitlines()
        assert "rename that folder" in line
    assert not (root / "artifacts").exists()
